import pytest

from katib.domain.nearest import nearest

KNOWN = ("bayesianoptimization", "cmaes", "grid", "hyperband", "random", "tpe")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bayes", "bayesianoptimization"),
        ("bayesian", "bayesianoptimization"),
        ("hyperbnd", "hyperband"),
        ("bayesian-optimization", "bayesianoptimization"),
        ("cma-es", "cmaes"),
        ("gridsearch", "grid"),
        ("ran", "random"),
        ("t", ""),
        ("", ""),
        ("simulated-annealing", ""),
        ("tpe", ""),
    ],
)
def test_what_is_meant_by_an_unknown_name_is_guessed_from_its_beginning_or_its_spelling(name: str, meant: str) -> None:
    assert nearest(name, KNOWN) == meant
