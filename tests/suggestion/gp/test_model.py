"""The Gaussian process: its likelihood against scikit-learn, its gradients against differences, its predictions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from katib.domain.search_space import ParameterConfig
from katib.suggestion.gp import hyper as hypers
from katib.suggestion.gp import model, transforms
from katib.suggestion.gp.encoding import Encoding, Floats
from katib.suggestion.gp.hyper import STILL, Fixed, Hyper
from katib.suggestion.gp.kernels import Kernel, among, matern12, matern32, matern52, rbf
from katib.suggestion.gp.model import Likelihood, Posterior
from tests.suggestion.gp.spaces import CUBE, MIXED, encoding_of, sample

KERNELS = pytest.mark.parametrize("kernel", [rbf, matern12, matern32, matern52])


def some_hyper(encoding: Encoding, warped: bool, seed: int = 3) -> Hyper:
    rng = np.random.default_rng(seed)
    start = Hyper.prior(encoding, warped)
    return replace(
        start,
        lengths=start.lengths + rng.normal(0, 0.5, len(start.lengths)),
        amplitude=0.3,
        noise=-4.0,
        ripple=-1.0,
        shrink=-1.2,
        warp=rng.normal(0, 0.3, len(start.warp)),
    )


def differences(function: Callable[[Floats], float], at: Floats, step: float = 1e-5) -> Floats:
    out = np.empty_like(at)
    for i in range(len(at)):
        up, down = at.copy(), at.copy()
        up[i] += step
        down[i] -= step
        out[i] = (function(up) - function(down)) / (2 * step)
    return out


class TestLikelihood:
    @KERNELS
    @pytest.mark.parametrize("warped", [False, True], ids=["as it is", "warped"])
    @pytest.mark.parametrize("space", [CUBE, MIXED], ids=["cube", "mixed"])
    def test_its_gradient_is_that_of_differences(
        self, kernel: Kernel, warped: bool, space: Sequence[ParameterConfig]
    ) -> None:
        encoding = encoding_of(space)
        x, y = sample(encoding, 25)
        likelihood = Likelihood(encoding, kernel, x, y, Fixed())
        vector = some_hyper(encoding, warped).vector()

        _, gradient = likelihood(vector)

        expected = differences(lambda v: likelihood(v)[0], vector)
        assert gradient == pytest.approx(expected, rel=1e-4, abs=1e-5)

    @pytest.mark.parametrize(
        ("kernel", "theirs"),
        [
            (rbf, RBF),
            (matern12, lambda lengths: Matern(lengths, nu=0.5)),
            (matern32, lambda lengths: Matern(lengths, nu=1.5)),
            (matern52, lambda lengths: Matern(lengths, nu=2.5)),
        ],
        ids=["rbf", "matern 1/2", "matern 3/2", "matern 5/2"],
    )
    def test_it_and_the_predictions_are_those_of_scikit_learn(
        self, kernel: Kernel, theirs: Callable[[Floats], object]
    ) -> None:
        encoding = encoding_of(CUBE)
        x, y = sample(encoding, 30)
        hyper = some_hyper(encoding, warped=False)
        posterior = Posterior(encoding, kernel, hyper, x, y)
        constant = float(posterior.predict(np.full((1, 3), 1e9))[0][0])  # far from everything only the mean is left
        whole = (
            ConstantKernel(np.exp(hyper.amplitude)) * theirs(np.exp(hyper.lengths))
            + ConstantKernel(np.exp(hyper.ripple)) * theirs(np.exp(hyper.lengths + hyper.shrink))
            + WhiteKernel(np.exp(hyper.noise) + model.JITTER)
        )
        reference = GaussianProcessRegressor(whole, alpha=0.0, optimizer=None).fit(x, y - constant)

        ours = -Likelihood(encoding, kernel, x, y, Fixed())(hyper.vector())[0]

        # Theirs has no prior, of the constant mean neither, and the factor 2 pi.
        centres, deviations = hypers.prior(encoding, len(hyper.vector()))
        off = (hyper.vector() - centres) / deviations
        ours += 0.5 * float(off @ off) + 0.5 * constant**2 - 0.5 * len(x) * np.log(2 * np.pi)
        assert ours == pytest.approx(reference.log_marginal_likelihood_value_, abs=1e-6)

        new, _ = sample(encoding, 10, seed=1)
        mean, deviation = posterior.predict(new)
        their_mean, their_deviation = reference.predict(new, return_std=True)
        assert mean == pytest.approx(their_mean + constant, abs=1e-6)
        noise = np.exp(hyper.noise) + model.JITTER
        assert deviation**2 == pytest.approx(their_deviation**2 - noise, abs=1e-6)

    @pytest.mark.slow
    def test_a_parameter_without_influence_gets_a_long_length_and_noise_is_found(self) -> None:
        encoding = encoding_of(CUBE)
        rng = np.random.default_rng(5)
        x = rng.random((80, 3))
        z = np.asarray(np.sin(6 * x[:, 0]) + 0.3 * rng.normal(size=80), dtype=np.float64)

        hyper = model.fit(encoding, matern52, x, transforms.excess(z), Fixed(), warped=False, rng=rng).hypers[0]

        assert hyper.lengths[0] < 0 < min(hyper.lengths[1:])
        assert np.exp(hyper.noise) == pytest.approx(0.09 / np.var(z), rel=0.5)

    def test_ripples_on_a_bowl_are_told_from_noise(self) -> None:
        """Neighbours agree on them, and not on noise."""
        encoding = encoding_of(CUBE)
        rng = np.random.default_rng(2)
        x = rng.random((60, 3))
        x[30:] = np.clip(x[:30] + rng.normal(0, 0.01, (30, 3)), 0, 1)
        bowl = 4 * ((x - 0.4) ** 2).sum(axis=1)

        def fitted(y: Floats) -> Hyper:
            return model.fit(encoding, matern52, x, transforms.excess(y), Fixed(), warped=False, rng=rng).hypers[0]

        rippled = fitted(bowl + 0.3 * np.prod(np.cos(40 * x), axis=1))
        noisy = fitted(bowl + 0.1 * rng.normal(size=60))

        assert rippled.ripple > rippled.noise + 2
        assert noisy.noise > noisy.ripple

    @pytest.mark.long
    def test_what_the_settings_fix_stays(self) -> None:
        encoding = encoding_of(CUBE)
        x, y = sample(encoding, 20)

        fixed = Fixed(length=0.5, noise=5e-5)
        found = model.fit(encoding, matern32, x, transforms.excess(y), fixed, warped=True, rng=np.random.default_rng(0))

        assert np.exp(found.hypers[0].lengths) == pytest.approx(0.5)
        assert np.exp(found.hypers[0].noise) == pytest.approx(5e-5)
        assert found.hypers[0].ripple == STILL


class TestFit:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("curve", "low", "high"),
        [(lambda y: y, 0.6, 1.0), (np.square, 0.3, 0.6), (lambda y: np.exp(3 * y), -0.5, 0.3)],
        ids=["a bowl", "its square", "its exponential"],
    )
    def test_the_shape_that_makes_the_objective_easy_to_predict_is_found(
        self, curve: Callable[[Floats], Floats], low: float, high: float
    ) -> None:
        encoding = encoding_of(CUBE)
        x = encoding.from_cube(np.random.default_rng(0).random((50, 3)))
        y = np.asarray(curve(6 * ((x - 0.4) ** 2).sum(axis=1)), dtype=np.float64)

        found = model.fit(
            encoding, matern52, x, transforms.excess(y), Fixed(), warped=False, rng=np.random.default_rng(0)
        )

        assert low <= found.exponent <= high

    def test_predicting_each_from_the_others_is_what_refitting_without_it_does(self) -> None:
        encoding = encoding_of(MIXED)
        x, y = sample(encoding, 15)
        hyper = replace(some_hyper(encoding, warped=True), noise=-3.0)
        likelihood = Likelihood(encoding, matern52, x, y, Fixed())
        scaled = hyper.scale(encoding, x)
        covariance = hyper.covariance(matern52, among(scaled))[0]
        covariance += (np.exp(hyper.noise) + model.JITTER) * np.eye(15)
        _, rest = model.centre(np.linalg.inv(covariance), y)  # the constant mean is that of all

        one_by_one = 0.0
        for i in range(15):
            others = np.delete(np.arange(15), i)
            weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, i])
            variance = covariance[i, i] - float(weights @ covariance[others, i])
            one_by_one += -0.5 * np.log(variance) - 0.5 * (rest[i] - float(weights @ rest[others])) ** 2 / variance

        assert likelihood.left_out(hyper) == pytest.approx(one_by_one)

    @pytest.mark.long
    def test_samples_of_hyperparameters_are_distributed_as_their_posterior(self) -> None:
        """Without trials to speak of, that is the prior."""
        encoding = encoding_of(CUBE)
        likelihood = Likelihood(encoding, matern52, np.full((1, 3), 0.5), np.zeros(1), Fixed())

        samples = likelihood.sample(Hyper.prior(encoding, warped=False), 400, np.random.default_rng(0))

        lengths = np.array([h.lengths for h in samples])
        centre = hypers.LENGTH[0] + 0.5 * np.log(3)
        assert lengths.mean(axis=0) == pytest.approx(np.full(3, centre), abs=0.35)
        assert lengths.std(axis=0) == pytest.approx(np.full(3, hypers.LENGTH[1]), rel=0.2)


class TestPosterior:
    @KERNELS
    @pytest.mark.parametrize("warped", [False, True], ids=["as it is", "warped"])
    def test_its_slopes_are_those_of_differences(self, kernel: Kernel, warped: bool) -> None:
        encoding = encoding_of(MIXED)
        x, y = sample(encoding, 25)
        posterior = Posterior(encoding, kernel, some_hyper(encoding, warped), x, y).with_pending(x[3] * 0.5)
        rows, _ = sample(encoding, 4, seed=2)

        mean, deviation, _, _ = posterior.slopes(rows)

        assert mean == pytest.approx(posterior.predict(rows)[0])
        assert deviation == pytest.approx(posterior.predict(rows)[1])
        for row in rows:
            row[encoding.numeric] = row[encoding.numeric].clip(1e-3, 1 - 1e-3)

            def at(numbers: Floats, which: int, row: Floats = row) -> float:
                moved = row.copy()
                moved[encoding.numeric] = numbers
                return float(posterior.predict(moved[None, :])[which][0])

            _, _, by_mean, by_deviation = posterior.slopes(row[None, :])
            expected = [differences(partial(at, which=i), row[encoding.numeric], 1e-6) for i in (0, 1)]
            assert by_mean[0] == pytest.approx(expected[0], rel=1e-3, abs=1e-4)
            assert by_deviation[0] == pytest.approx(expected[1], rel=1e-3, abs=1e-4)

    def test_a_pending_point_counts_as_observed_where_it_is_expected(self) -> None:
        encoding = encoding_of(MIXED)
        x, y = sample(encoding, 20)
        hyper = some_hyper(encoding, warped=True)
        posterior = Posterior(encoding, matern52, hyper, x, y)
        (new, other), _ = sample(encoding, 2, seed=9)
        rows, _ = sample(encoding, 30, seed=4)

        pending = posterior.with_pending(new).with_pending(other)

        both = np.array([new, other])
        anew = Posterior(encoding, matern52, hyper, np.concatenate([x, both]), np.concatenate([y, np.zeros(2)]))
        assert pending.predict(rows)[0] == pytest.approx(posterior.predict(rows)[0])
        assert pending.predict(rows)[1] == pytest.approx(anew.predict(rows)[1], abs=1e-6)
        assert pending.predict(both)[1].max() < 0.25 < posterior.predict(both)[1].min()

    def test_points_on_top_of_each_other_do_no_harm(self) -> None:
        encoding = encoding_of(CUBE)
        x = np.full((30, 3), 0.5)
        hyper = replace(Hyper.prior(encoding, warped=False), noise=-40.0)

        mean, deviation = Posterior(encoding, rbf, hyper, x, np.ones(30)).predict(x[:1])

        assert np.isfinite([*mean, *deviation]).all()
