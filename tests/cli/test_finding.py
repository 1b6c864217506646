"""What STUDY and TRIAL mean on the command line."""

import pytest

from katib.domain.study import StudyState
from tests.cli.conftest import Cli
from tests.cli.scripted import ScriptedManager, study, trial

A = "a" + "0" * 15


def test_a_study_is_found_by_its_id_by_its_beginning_and_by_its_name(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study("abcd" + "0" * 12, name="one"))
    manager.add(study("abce" + "0" * 12, name="two"))
    for text in ("abcd" + "0" * 12, "abcd", "abcd00", "one"):
        done = cli("stop-study", text)
        assert (done.code, done.out) == (0, f"Study abcd{'0' * 12} is stopping.\n")


@pytest.mark.parametrize("text", ["abc", "zz", "\x1b[31m", "\udcff", "=", "a" * 15])
def test_a_study_that_is_not_there_is_one_sentence_and_code_3(text: str, cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study("abcd" + "0" * 12, name="one"))
    done = cli("stop-study", text)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("Error: no study has the name '")
    assert done.err.rstrip("\n").isprintable()


@pytest.mark.parametrize("words", [("delete-study", "--yes"), ("stop-study",), ("list-studies",), ("get-study",)])
@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_name_as_of_a_variable_that_is_not_set_is_no_study(
    words: tuple[str, ...], text: str, cli: Cli, manager: ScriptedManager
) -> None:
    manager.add(study("abcd" + "0" * 12, name="the only one"))
    done = cli(*words, text)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Error: STUDY is empty: expected an id, its beginning or a name")
    assert manager.calls == []


def test_an_id_that_is_not_there_is_what_the_manager_says(cli: Cli) -> None:
    done = cli("stop-study", A)
    assert (done.code, done.err) == (3, f"Error: there is no study {A}\n")


def test_a_name_of_several_studies_is_refused_with_the_candidates(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study("abcd" + "0" * 12, name="face"))
    manager.add(study("abce" + "0" * 12, name="face", state=StudyState.STOPPED))
    manager.add(study("face" + "0" * 12, name="\x1bx"))
    done = cli("delete-study", "--yes", "face")
    assert done.code == 2
    assert done.err.splitlines() == [
        "Error: 'face' may be each of these studies; give the id of one:",
        f"  face{'0' * 12}  RUNNING    \\x1bx",
        f"  abcd{'0' * 12}  RUNNING    face",
        f"  abce{'0' * 12}  STOPPED    face",
    ]
    assert manager.calls == []


def test_a_trial_is_found_by_the_beginning_of_its_id(cli: Cli, manager: ScriptedManager) -> None:
    manager.trials = [trial(1, id="b123" + "0" * 12), trial(2, id="b124" + "0" * 12)]
    assert cli("stop-trial", "b123").out == f"Trial b123{'0' * 12} is stopping.\n"
    for text, code, said in (
        ("b12", 3, "'b12' is no trial's id, nor its first 4 characters or more"),
        ("nonsense", 3, "'nonsense' is no trial's id"),
        ("b555", 3, "no trial's id begins with 'b555'"),
    ):
        done = cli("stop-trial", text)
        assert (done.code, said in done.err) == (code, True)
    manager.trials.append(trial(3, id="b123" + "1" * 12))
    done = cli("stop-trial", "b123")
    assert done.code == 2
    assert f"  b123{'1' * 12}  RUNNING    trial 3 of {A}" in done.err


def test_a_trial_is_found_by_its_number_without_reading_those_before_it(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study(A, name="one"))
    manager.trials = [trial(n) for n in range(1, 50)]
    assert cli("get-trial", "one", "49").out.split()[1] == trial(49).id
    assert manager.trials_given == 1
    assert cli("get-trial", "one", "50").code == 3
    assert cli("get-trial", "one", str(2**31)).err == (
        f"Error: study {A} has no trial {2**31}; see katib-cli list trials {A}\n"
    )
    assert manager.trials_given == 1


@pytest.mark.long
def test_a_trial_is_found_by_its_study_and_its_number_at_an_older_manager(cli: Cli, manager: ScriptedManager) -> None:
    manager.knows_numbers = False
    manager.add(study(A, name="one"))
    manager.trials = [trial(n) for n in range(1, 1502)]
    for study_, number in (("one", 1), (A, 2), ("a000", 1000), ("one", 1001), ("one", 1501)):
        done = cli("get-trial", study_, str(number))
        assert (done.code, done.out.splitlines()[0].split()) == (0, ["Trial:", trial(number).id])
    done = cli("logs", "one", "1502")
    assert (done.code, done.err) == (3, f"Error: study {A} has no trial 1502; see katib-cli list trials {A}\n")
    assert cli("logs", "two", "1").err.startswith("Error: no study has the name 'two'")
    assert cli("logs", "one", "0").code == 2
    assert "or where a command takes them its study and its number" in cli("logs", "one").err


# Lists
