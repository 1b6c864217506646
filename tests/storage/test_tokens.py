"""Page tokens: what was given out comes back, what was not is refused."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.study import StudyState
from katib.domain.trial import TrialState
from katib.manager.ports import StudyFilter, TrialFilter
from katib.manager.storage import tokens
from katib.manager.storage.tokens import (
    MODEL_KEY,
    STUDY_KEY,
    make_token,
    model_list,
    observation_list,
    read_token,
    study_list,
    trial_list,
)

keys = st.lists(st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=20), min_size=1, max_size=3)
LIST = study_list(StudyFilter())


def kinds(key):
    return [type(value) for value in key]


@pytest.mark.long
@given(keys)
def test_a_key_comes_back_from_its_token(key):
    token = make_token(LIST, key)
    assert read_token(LIST, token, kinds(key)) == key
    assert token.isascii()
    assert not set(token) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_what_was_not_given_out_is_refused(text):
    with pytest.raises(InvalidArgumentError) as caught:
        read_token(LIST, text, STUDY_KEY)
    assert caught.value.violations[0].field == "page_token"


@pytest.mark.long
@given(keys, st.data())
def test_a_token_with_one_character_changed_is_refused(key, data):
    token = make_token(LIST, key)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda c: c != token[at]))
    with pytest.raises(InvalidArgumentError):
        read_token(LIST, token[:at] + other + token[at + 1 :], kinds(key))


@pytest.mark.parametrize(
    "key",
    [
        [],
        [1],
        ["a", 1],
        [1, "a", 2],
        [1, ["a"]],
        [1, {"a": 1}],
        [1, None],
        [1.0, "a"],
        [True, "a"],
        [2**63, "a"],
        [-(2**63), "a"],
        [1, "\ud800"],
    ],
)
def test_a_token_that_somebody_made_up_with_the_right_check_is_refused_when_no_key_of_the_list_is_in_it(key):
    with pytest.raises(InvalidArgumentError):
        read_token(LIST, make_token(LIST, key), STUDY_KEY)


@pytest.mark.parametrize(
    "body", [b"7", b'{"a":1}', b"[" * 500, b"", b"\xff", b"[1,'a']", b"[" + b"1" * 5000 + b',"a"]']
)
def test_a_token_with_the_right_check_over_something_else_is_refused(body):
    forged = urlsafe_b64encode(tokens._check(LIST, body) + body).rstrip(b"=").decode()
    with pytest.raises(InvalidArgumentError):
        read_token(LIST, forged, STUDY_KEY)


def test_the_longest_id_of_a_model_comes_back():
    key = ["\U0001f600" * 255]
    list_ = model_list("study")
    assert read_token(list_, make_token(list_, key), MODEL_KEY) == key


def test_lists_with_different_filters_have_different_tokens():
    lists = [
        LIST,
        study_list(StudyFilter(name="a")),
        study_list(StudyFilter(id_prefix="a")),
        study_list(StudyFilter(states=frozenset({StudyState.RUNNING}))),
        trial_list(TrialFilter()),
        trial_list(TrialFilter(study_id="a")),
        trial_list(TrialFilter(id_prefix="a")),
        trial_list(TrialFilter(newest_first=True)),
        trial_list(TrialFilter(states=frozenset({TrialState.RUNNING}))),
        observation_list("a", 0, ()),
        observation_list("a", 1, ()),
        observation_list("b", 0, ()),
        observation_list("a", 0, ["a"]),
    ]
    assert len({make_token(list_, [1]) for list_ in lists}) == len(lists)


def test_the_order_in_which_states_and_names_are_given_does_not_matter():
    states = [StudyState.RUNNING, StudyState.PAUSED, StudyState.FAILED]
    a, b = (study_list(StudyFilter(states=frozenset(order))) for order in (states, reversed(states)))
    assert a == b
    assert observation_list("t", 0, ["a", "b"]) == observation_list("t", 0, ["b", "a"])
