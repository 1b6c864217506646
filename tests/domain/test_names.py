"""Ids and names fit where they go: a Kubernetes name, a label, an address, a path, a command line."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.errors import InvalidArgumentError
from katib.domain.names import (
    ID_LENGTH,
    SERVICE_NAME_LENGTH,
    check_id,
    check_service_name,
    is_id,
    is_id_prefix,
    is_service_name,
    new_id,
    run_name,
)

# A Pod's name is a DNS subdomain; a label's value and a Service's name are DNS labels.
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")

NOT_IDS = [
    "",
    "a",
    "a" + "0" * 14,
    "a" + "0" * 16,
    "0" * 16,
    "A" + "0" * 15,
    "a" + "0" * 14 + "G",
    "a" + "0" * 14 + "F",
    "a" + "0" * 14 + "g",
    "a" + "0" * 15 + "\n",
    " a" + "0" * 15,
    "a" + "٠" * 15,
    "../../../../../etc",
]


class TestId:
    def test_a_new_one_is_an_id_and_part_of_any_kubernetes_name(self) -> None:
        for _ in range(1000):
            id_ = new_id()
            assert len(id_) == ID_LENGTH
            assert is_id(id_)
            assert DNS_LABEL.fullmatch(id_)

    def test_new_ones_differ(self) -> None:
        assert len({new_id() for _ in range(10_000)}) == 10_000

    def test_every_digit_and_first_letter_is_used(self) -> None:
        ids = [new_id() for _ in range(1000)]
        assert {id_[0] for id_ in ids} == set("abcdef")
        assert all({id_[i] for id_ in ids} == set("0123456789abcdef") for i in range(1, ID_LENGTH))

    def test_ids_that_others_made_may_begin_with_any_letter(self) -> None:
        assert is_id("z0123456789abcde")

    @pytest.mark.parametrize("text", NOT_IDS)
    def test_nothing_else_is_an_id(self, text: str) -> None:
        assert not is_id(text)

    @pytest.mark.parametrize("text", NOT_IDS)
    def test_the_check_names_field_value_and_what_would_do(self, text: str) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            check_id("trial_id", text)
        (violation,) = caught.value.violations
        assert violation.field == "trial_id"
        assert violation.value == text
        assert "one letter and 15 hexadecimal digits" in violation.expected

    def test_the_check_gives_the_id_back(self) -> None:
        id_ = new_id()
        assert check_id("study_id", id_) == id_

    def test_every_beginning_of_an_id_is_a_prefix(self) -> None:
        id_ = new_id()
        assert all(is_id_prefix(id_[:n]) for n in range(1, ID_LENGTH + 1))

    @pytest.mark.parametrize("text", ["", "0", "a%", "a_", "aB", "a" + "0" * 16, "a\n"])
    def test_nothing_else_is_a_prefix(self, text: str) -> None:
        assert not is_id_prefix(text)


class TestServiceName:
    @pytest.mark.parametrize(
        "name", ["a", "0", "random", "median-stopping", "tpe2", "a--b", "3d", "x" * SERVICE_NAME_LENGTH]
    )
    def test_a_name_of_a_service(self, name: str) -> None:
        assert is_service_name(name)
        assert check_service_name("suggest_algorithm", name) == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "-",
            "-a",
            "a-",
            "Random",
            "my_algorithm",
            "a.b",
            "a/b",
            "../a",
            "a b",
            "a\n",
            "a:6789",
            "{algorithm}",
            "zufällig",
            "x" * (SERVICE_NAME_LENGTH + 1),
        ],
    )
    def test_anything_else_is_refused_with_a_reason(self, name: str) -> None:
        assert not is_service_name(name)
        with pytest.raises(InvalidArgumentError, match="at most 40 characters") as caught:
            check_service_name("study_config.suggest_algorithm", name)
        (violation,) = caught.value.violations
        assert violation.field == "study_config.suggest_algorithm"

    @given(st.text(alphabet="abz019-.", max_size=50))
    def test_in_an_address_it_is_one_label_and_nothing_more(self, name: str) -> None:
        if is_service_name(name):
            host = f"suggestion-{name}"
            assert DNS_LABEL.fullmatch(host)
            assert "." not in host


class TestRunName:
    @given(st.integers(min_value=1, max_value=2**31 - 1))
    def test_it_is_a_kubernetes_name_and_a_folder_name(self, attempt: int) -> None:
        name = run_name(new_id(), attempt)
        assert DNS_LABEL.fullmatch(name)

    @given(st.sampled_from(["a" + "0" * 15, "a" + "0" * 14 + "1", "b" + "1" * 15]), st.integers(1, 30))
    def test_each_attempt_has_its_own(self, trial: str, attempt: int) -> None:
        others = {run_name(t, a) for t in ("a" + "0" * 15, "a" + "0" * 14 + "1", "b" + "1" * 15) for a in range(1, 31)}
        assert len(others) == 90
        assert run_name(trial, attempt) in others


@pytest.mark.parametrize("predicate", [is_id, is_id_prefix, is_service_name])
def test_any_text_may_be_asked_about(predicate: Callable[[str], bool]) -> None:
    @given(st.text())
    def ask(text: str) -> None:
        if predicate(text):
            assert text.isascii()
            assert text.isprintable()

    ask()
