"""Spaces as users write them: logarithmic, whole, listed and categorical parameters, some of which do not matter. Sums of terms
that are 0 at one point that the space has, and more elsewhere."""

import math
from collections.abc import Callable

import numpy as np

from benchmarks.quality.problems import Problem, Values, categorical, discrete, double, stream, whole


def network(rng: np.random.Generator) -> Problem:
    """The best learning rate depends on optimizer and batch, the best regularisation on the width."""
    rate = dict(zip(("sgd", "momentum", "adam", "rmsprop"), rng.permutation([-0.8, -1.6, -3.0, -3.5]), strict=True))
    floor = dict(zip(rate, rng.permutation([0.0, 0.05, 0.1, 0.25]), strict=True))
    act = dict(zip(("relu", "tanh", "gelu", "elu"), rng.permutation([0.0, 0.03, 0.08, 0.2]), strict=True))
    layers, units, drop = int(rng.integers(2, 6)), float(rng.uniform(5.5, 8.5)), float(rng.choice([0.1, 0.2, 0.3]))

    def value(v: Values) -> float:
        best_rate = rate[v["optimizer"]] + 0.3 * math.log2(v["batch"] / 64) * math.log10(2)
        off = math.log10(v["lr"]) - best_rate
        decay = math.log10(v["decay"]) + 4.0 - 0.3 * (math.log2(v["units"]) - units)
        return float(
            floor[v["optimizer"]]
            + act[v["activation"]]
            + (0.25 * off * off if off < 0 else 1.0 - math.exp(-0.8 * off * off))
            + 0.02 * (v["layers"] - layers) ** 2
            + 0.02 * (math.log2(v["units"]) - math.log2(round(2**units))) ** 2
            + 0.03 * decay * decay
            + 1.5 * (v["dropout"] - drop) ** 2
        )

    return Problem(
        "network",
        "mixed",
        (
            double("lr", 1e-6, 1.0, log=True),
            double("decay", 1e-7, 1e-1, log=True),
            whole("layers", 1, 8),
            whole("units", 8, 2048, log=True),
            double("dropout", 0.0, 0.6, step="0.1"),
            discrete("batch", 16.0, 32.0, 64.0, 128.0, 256.0),
            categorical("optimizer", *rate),
            categorical("activation", *act),
        ),
        value,
    )


def boosting(rng: np.random.Generator) -> Problem:
    """Rounds times learning rate decides; the depth and the sampling shift it."""
    depth, rows, columns = int(rng.integers(3, 10)), float(rng.uniform(0.55, 0.95)), float(rng.uniform(0.4, 0.9))
    budget, reg = float(rng.uniform(1.2, 1.8)), float(rng.uniform(-2, 1))
    grow = dict(zip(("depth", "loss"), rng.permutation([0.0, 0.06]), strict=True))

    def value(v: Values) -> float:
        power = math.log10(v["rounds"] * v["eta"]) - budget + 0.08 * (v["depth"] - depth)
        return float(
            (1 - math.exp(-1.5 * power * power))
            + 0.3 * max(0.0, math.log10(v["eta"]) + 1.3) ** 2
            + 0.012 * (v["depth"] - depth) ** 2
            + 0.8 * (v["rows"] - rows) ** 2
            + 0.5 * (v["columns"] - columns) ** 2
            + 0.02 * (math.log10(v["lambda"]) - reg) ** 2
            + grow[v["grow"]]
        )

    return Problem(
        "boosting",
        "mixed",
        (
            whole("rounds", 10, 3000, log=True),
            double("eta", 1e-3, 1.0, log=True),
            whole("depth", 1, 15),
            double("rows", 0.3, 1.0),
            double("columns", 0.2, 1.0),
            double("lambda", 1e-4, 1e3, log=True),
            double("alpha", 1e-6, 1e2, log=True),  # does not matter
            categorical("grow", *grow),
        ),
        value,
    )


def kernels(rng: np.random.Generator) -> Problem:
    """A ridge in (C, gamma) whose place depends on the kernel; the degree counts for one kernel only."""
    floor = dict(zip(("rbf", "poly", "sigmoid", "linear"), rng.permutation([0.0, 0.04, 0.15, 0.25]), strict=True))
    shift = {k: float(rng.uniform(-1, 1)) for k in floor}
    degree = int(rng.integers(2, 5))

    def value(v: Values) -> float:
        kernel = v["kernel"]
        c, g = math.log10(v["C"]) - 1.0 - shift[kernel], math.log10(v["gamma"]) + 2.0 + shift[kernel]
        ridge = (c + g) ** 2 * 0.5 + 0.03 * (c - g) ** 2 if kernel != "linear" else 0.2 * c * c
        extra = 0.08 * (v["degree"] - degree) ** 2 if kernel == "poly" else 0.0
        weights = 0.05 if v["balanced"] == "no" else 0.0
        return float(floor[kernel] + 1 - math.exp(-ridge) + extra + weights + 0.02 * abs(math.log10(v["tol"]) + 3))

    return Problem(
        "kernels",
        "mixed",
        (
            double("C", 1e-3, 1e5, log=True),
            double("gamma", 1e-6, 1e1, log=True),
            whole("degree", 1, 6),
            double("tol", 1e-6, 1e-1, log=True),
            categorical("kernel", *floor),
            categorical("balanced", "no", "yes"),
        ),
        value,
    )


def switched(rng: np.random.Generator) -> Problem:
    """Each category is a landscape of its own over the same two numbers; a second one turns it."""
    centres = {k: rng.uniform(0.15, 0.85, 2) for k in "abcdef"}
    floors = dict(zip(centres, rng.permutation([0.0, 0.1, 0.2, 0.4, 0.6, 0.8]), strict=True))
    widths = {k: float(rng.uniform(0.5, 2.0)) for k in centres}
    angle = {"i": 0.0, "j": float(rng.uniform(0.3, 1.2)), "k": float(rng.uniform(-1.2, -0.3))}
    lift = dict(zip(angle, rng.permutation([0.0, 0.1, 0.3]), strict=True))

    def value(v: Values) -> float:
        x, y = np.array([v["x"], v["y"]]) - centres[v["which"]]
        s, c = math.sin(angle[v["turn"]]), math.cos(angle[v["turn"]])
        x, y = c * x - s * y, s * x + c * y
        wave = 0.15 * (1 - math.cos(9 * x)) + 0.15 * (1 - math.cos(7 * y))
        return float(floors[v["which"]] + lift[v["turn"]] + widths[v["which"]] * (4 * x * x + y * y) + wave)

    return Problem(
        "switched",
        "mixed",
        (
            double("x", 0.0, 1.0),
            double("y", 0.0, 1.0),
            categorical("which", *centres),
            categorical("turn", *angle),
        ),
        value,
    )


def whole_ackley(rng: np.random.Generator) -> Problem:
    """Ackley's function over whole numbers, switches and two continua."""
    at = rng.integers(2, 15, 3)
    bits = [str(b) for b in rng.choice(["on", "off"], 4)]
    spot = rng.uniform(0.2, 0.8, 2)

    def value(v: Values) -> float:
        z = np.array(
            [(v[f"n{i}"] - at[i]) / 4 for i in range(3)]
            + [float(v[f"s{i}"] != bits[i]) for i in range(4)]
            + [4 * (v[f"x{i}"] - spot[i]) for i in range(2)]
        )
        return float(20 - 20 * np.exp(-0.2 * np.sqrt(np.mean(z * z))) + math.e - np.exp(np.mean(np.cos(2 * np.pi * z))))

    return Problem(
        "whole-ackley",
        "mixed",
        (
            *(whole(f"n{i}", 0, 16) for i in range(3)),
            *(categorical(f"s{i}", "on", "off") for i in range(4)),
            double("x0", 0.0, 1.0),
            double("x1", 0.0, 1.0),
        ),
        value,
    )


def pipeline(rng: np.random.Generator) -> Problem:
    """Mostly choices: which scaler, features, model, each with interactions; two numbers."""
    names = {"scaler": 4, "features": 5, "model": 6, "metric": 3}
    alone = {n: rng.exponential(0.25, k) for n, k in names.items()}
    best = {n: int(rng.integers(k)) for n, k in names.items()}
    pair = rng.exponential(0.15, (names["features"], names["model"]))
    for n in names:
        alone[n][best[n]] = 0.0
    pair[best["features"], best["model"]] = 0.0
    size, rate = rng.uniform(-3, 3, names["model"]), rng.uniform(0.2, 0.8)

    def value(v: Values) -> float:
        pick = {n: int(v[n][1:]) for n in names}
        off = math.log10(v["size"]) - size[pick["model"]]
        return float(
            sum(alone[n][pick[n]] for n in names)
            + pair[pick["features"], pick["model"]]
            + 0.06 * off * off
            + (v["share"] - rate) ** 2
        )

    return Problem(
        "pipeline",
        "mixed",
        (
            *(categorical(n, *(f"{n[0]}{i}" for i in range(k))) for n, k in names.items()),
            double("size", 1e-4, 1e4, log=True),
            double("share", 0.0, 1.0),
        ),
        value,
    )


MAKERS: tuple[Callable[[np.random.Generator], Problem], ...] = (
    network,
    boosting,
    kernels,
    switched,
    whole_ackley,
    pipeline,
)


def problems(instance: int) -> list[Problem]:
    out = []
    for make in MAKERS:
        problem = make(stream(make.__name__, instance))
        name = problem.name if instance == 0 else f"{problem.name}#{instance}"
        out.append(Problem(name, problem.suite, problem.parameters, problem.value, problem.best))
    return out
