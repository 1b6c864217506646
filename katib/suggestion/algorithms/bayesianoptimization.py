"""Bayesian optimization: a Gaussian process, or a random forest, says of every point what it promises; the next trial is where
that is most.

The first trials are the centre of the search space and a scrambled Sobol sequence. From then on, each suggestion is a function
of the seed, of its number and of the trials: those that run count as points whose outcome is what the model expects, so that
asking for several at once is the same as asking for them one after another.
"""

from typing import Final

from katib.domain.metrics import parse_value
from katib.domain.settings import Option, Options, choice, real, whole
from katib.domain.study import StudyReason
from katib.suggestion.base import History, Problem, Reply, Request, Suggestion
from katib.suggestion.ends import check_ends
from katib.suggestion.randomness import SEED, study_seed
from katib.suggestion.room import MAX_PARALLEL, SUGGESTION_NUM

BURN_IN: Final = whole(
    "burn_in",
    None,
    "Trials with an objective before the model takes over.",
    least=1,
    default_text="4 to 10, more for more parameters",
)
MODEL: Final = choice("model_type", "gp", ("gp", "rf"), "The model: a Gaussian process, or a random forest.")
TREES: Final = whole("n_estimators", None, "Trees of the random forest.", least=1, most=1000, default_text="100")


def _columns(text: str) -> str | float | None:
    """As scikit-learn reads `max_features`: a whole number counts columns, another one is a share of them. "auto" meant all of
    them where 0.1 asked for it, and means nothing to it any more."""
    if text in {"sqrt", "log2"}:
        return text
    if text == "auto":
        return 1.0
    if text.isascii() and text.isdecimal():
        return int(text) if 1 <= len(text) < 10 and int(text) else None
    share = parse_value(text)
    return share if share is not None and 0.0 < share <= 1.0 else None


COLUMNS: Final[Option[str | float | None]] = Option(
    "max_features",
    "Among how many columns a tree of the random forest looks for each split; a number has one column, a CATEGORICAL one for "
    "each value.",
    "auto (all), sqrt, log2, a whole number from 1 on, or a share such as 0.5",
    _columns,
    None,
    "0.7",
)
KERNEL: Final = choice("kernel_type", "matern", ("matern", "rbf"), "The Gaussian process's kernel.")


def _nu(text: str) -> float | None:
    number = parse_value(text)
    return number if number in (0.5, 1.5, 2.5) else None


NU: Final[Option[float]] = Option("nu", "The smoothness of the Matérn kernel.", "0.5, 1.5 or 2.5", _nu, 2.5, "2.5")
LENGTH: Final = real(
    "length_scale",
    None,
    "The kernel's length, in widths of a parameter's range, one for all parameters.",
    least=1e-6,
    most=1000.0,
    default_text="inferred for each parameter",
)
NOISE: Final = real(
    "noise",
    None,
    "The variance of the noise, in variances of the objective.",
    least=1e-10,
    most=1.0,
    default_text="inferred",
)
MODE: Final = choice(
    "mode",
    "ei",
    ("ei", "pi", "lcb"),
    "What a point promises: its expected improvement, the probability of one, or its lower confidence bound.",
)
TRADE_OFF: Final = real(
    "trade_off",
    None,
    "The more, the further it looks away from what is known: for ei and pi the least improvement that counts, for lcb the "
    "weight of the deviation, in deviations of the objective.",
    least=0.0,
    most=100.0,
    default_text="0.002 for ei, and 0 in every second one of the last tenth of max_trials; 0.01 for pi, 2 for lcb",
)
WARPING: Final = choice(
    "input_warping",
    "no",
    ("no", "yes"),
    "Whether to infer where in its range each number matters most: worth its time where a range is on the wrong scale.",
)
CANDIDATES: Final = whole(
    "N",
    1024,
    "Quasi-random points among which the search for the greatest promise begins.",
    least=1,
    most=100_000,
)


# Suggestions of one answer, fewer where there are many parameters or candidates: each of them searches anew, beside those
# before it, which takes the longer the more there are, and who asks has a deadline.
PORTION: Final = 100
_SEARCHED: Final = 400
_LEAST: Final = 4


class BayesianOptimization:
    name = "bayesianoptimization"
    options = Options(
        name,
        (
            SUGGESTION_NUM,
            MAX_PARALLEL,
            SEED,
            BURN_IN,
            MODEL,
            TREES,
            COLUMNS,
            KERNEL,
            NU,
            LENGTH,
            NOISE,
            WARPING,
            MODE,
            TRADE_OFF,
            CANDIDATES,
        ),
    )

    def check(self, problem: Problem) -> None:
        check_ends(problem)

    def history(self, _problem: Problem, /) -> History:
        return History.FINALS

    def suggest(self, request: Request) -> Reply:
        # Here, not above: numerics take a second to import, and a service that nobody asks needs none of them.
        from katib.suggestion.gp.history import Past
        from katib.suggestion.gp.optimizer import Optimizer, Style
        from katib.suggestion.seen import seen

        problem = request.problem
        values = problem.values
        before = seen(request.study_id, problem.spec.parameters)
        encoding, size = before.encoding, problem.space.cardinality
        known = before.past(request.finished, request.unfinished, problem.spec.optimization)
        optimizer = Optimizer(
            encoding,
            Past(known.x, known.y, known.failed, known.pending, frozenset(known.taken.keys())),
            study_seed(values, request.study_id),
            Style(
                model=values[MODEL],
                kernel="rbf" if values[KERNEL] == "rbf" else f"matern{values[NU]}",
                length=values[LENGTH],
                noise=values[NOISE],
                mode=values[MODE],
                trade_off=values[TRADE_OFF],
                burn_in=values[BURN_IN],
                candidates=values[CANDIDATES],
                warping=values[WARPING] == "yes",
                trees=values[TREES],
                columns=values[COLUMNS],
                # Not the setting: to a question of a client it may say how far that one goes.
                trials=problem.spec.limits.max_trials,
            ),
        )
        suggestions = []
        usual = CANDIDATES.default
        searched = max(1, len(encoding)) * max(usual, values[CANDIDATES])
        portion = max(_LEAST, min(PORTION, _SEARCHED * usual // searched))
        for number in range(request.first_number, request.first_number + min(request.count, portion)):
            if size is not None and len(optimizer.taken) >= size:
                break
            row = optimizer.next_row(number)
            suggestions.append(Suggestion(encoding.parameters(row)))
        if suggestions or request.unfinished_count:
            return Reply(tuple(suggestions))
        return Reply((), completed=True, reason=StudyReason.EXHAUSTED)
