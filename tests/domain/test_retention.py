"""Which models a study keeps."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.retention import MAX_BEST, Candidate, Retention, check_retention, surplus

VALUES = st.one_of(st.none(), st.floats())


@pytest.mark.parametrize(
    ("text", "best"), [("", None), ("all", None), ("none", 0), ("best:1", 1), ("best:1000000", MAX_BEST)]
)
def test_a_policy_is_read(text, best):
    assert Retention.parse(text) == Retention(best)
    assert check_retention("keep_models", text) == []


@pytest.mark.parametrize(
    "text", ["best", "best:", "best:0", "best:-1", "best:1000001", "best:1.5", "ALL", " all", "best:٣"]
)
def test_another_word_is_refused_with_what_would_do(text):
    assert Retention.parse(text) is None
    (found,) = check_retention("keep_models", text)
    assert (found.field, found.value) == ("keep_models", text)
    assert "all, none, or best:K" in found.expected


@given(st.lists(VALUES, max_size=12), st.integers(0, 6), st.booleans())
def test_what_goes_is_never_better_than_what_stays(values, best, maximize):
    models = [Candidate(i, i, value) for i, value in enumerate(values)]
    gone = surplus(Retention(best), maximize, models)
    assert len(values) - len(gone) == min(best, len(values))
    left = [i for i in range(len(values)) if i not in gone]

    def rank(i):
        value = values[i]
        if value is None or math.isnan(value):
            return (1, 0.0, i)
        return (0, -value if maximize else value, i)

    assert max(map(rank, left), default=(0, -math.inf)) < min(map(rank, gone), default=(2,))


@given(st.lists(VALUES, max_size=12), st.booleans())
def test_all_stay_where_all_are_wanted(values, maximize):
    assert surplus(Retention(), maximize, [Candidate(i, i, value) for i, value in enumerate(values)]) == []
