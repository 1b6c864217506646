"""What an algorithm says of itself, on a study whose clients ask it; and which algorithm that is."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from katib.domain.asked import ALGORITHM_TAG
from katib.domain.errors import UnavailableError
from katib.domain.study import StudyReason, StudySpec, StudyState
from katib.domain.trial import Tag
from katib.manager.service_ports import History, SuggestionReply, SuggestionRequest
from tests.service.test_several_managers import Manager, Service, create

CLIENTS_ASK = "clients ask for its trials (SuggestTrials)"


class Telling(Service):
    """Says `note` with what it suggests, and once told to that there is nothing more."""

    def __init__(self) -> None:
        super().__init__(History.FINALS)
        self.note = ""
        self.over = False
        self.names: list[str] = []

    def set_parameters(self, algorithm: str, study_id: str, spec: StudySpec) -> "Future[History]":
        self.names.append(algorithm)
        return super().set_parameters(algorithm, study_id, spec)

    def generate(self, algorithm: str, request: SuggestionRequest) -> "Future[SuggestionReply]":
        said = super().generate(algorithm, request).result()
        reply: Future[SuggestionReply] = Future()
        reply.set_result(
            SuggestionReply((), completed=True, note=self.note) if self.over else replace(said, note=self.note)
        )
        return reply


@pytest.fixture
def service() -> Telling:
    return Telling()


@pytest.fixture
def manager(tmp_path: Path, service: Telling) -> Iterator[Manager]:
    it = Manager(f"sqlite:///{tmp_path}/katib.db", History.FINALS, service)
    yield it
    it.storage.close()


def shown(manager: Manager, study_id: str) -> tuple[str, str]:
    study = manager.storage.get_study(study_id)
    return study.reason, study.message


def test_a_study_shows_what_the_algorithm_said_that_its_clients_asked_last(manager: Manager, service: Telling) -> None:
    study_id = create(manager)
    manager.suggest(study_id)
    assert shown(manager, study_id) == ("", "")
    for note in ("auto uses tpe: because", "auto uses cmaes: because"):
        service.note = note
        manager.suggest(study_id)
        assert shown(manager, study_id) == (StudyReason.CLIENT_DRIVEN, f"{CLIENTS_ASK}; {note}")
    # It may be another algorithm, which has nothing to say.
    service.note = ""
    manager.suggest(study_id)
    assert shown(manager, study_id)[1].endswith("; auto uses cmaes: because")


def test_what_it_said_is_written_once(manager: Manager, service: Telling) -> None:
    service.note = "auto uses tpe: because" + 2000 * "."
    study_id = create(manager)
    manager.suggest(study_id)
    said, revision = shown(manager, study_id), manager.storage.get_study(study_id).revision
    assert len(said[1]) < 1100
    manager.suggest(study_id)
    # By the trials that it has been given, and no more.
    assert manager.storage.get_study(study_id).revision == revision + 1
    assert shown(manager, study_id) == said


def test_trials_are_given_although_what_was_said_cannot_be_shown(
    manager: Manager, service: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.note = "auto uses tpe: because"
    study_id = create(manager)

    def away(*_arguments: object) -> None:
        raise UnavailableError("the database is away")

    monkeypatch.setattr(manager.storage, "apply", away)
    assert len(manager.suggest(study_id)[0]) == 2
    monkeypatch.undo()
    manager.suggest(study_id)
    assert shown(manager, study_id)[1].endswith("; auto uses tpe: because")


def test_it_takes_the_place_of_nothing_more_urgent(manager: Manager, service: Telling) -> None:
    service.note = "auto uses tpe: because"
    study_id = create(manager)
    trouble = (StudyReason.EARLY_STOPPING_UNAVAILABLE, "nobody answers")
    manager.storage.update_study(study_id, lambda it: replace(it, reason=trouble[0], message=trouble[1]))
    assert len(manager.suggest(study_id)[0]) == 2
    assert shown(manager, study_id) == trouble


def test_it_stays_when_there_is_nothing_more_to_try(manager: Manager, service: Telling) -> None:
    service.note, service.over = "auto uses tpe: because", True
    study_id = create(manager)
    name = Tag(ALGORITHM_TAG, "auto")
    manager.storage.update_study(study_id, lambda it: replace(it, spec=replace(it.spec, tags=(name,))))
    assert manager.suggest(study_id) == ((), True)
    assert manager.storage.get_study(study_id).state is StudyState.COMPLETED
    assert shown(manager, study_id)[1] == "auto has nothing more to try; auto uses tpe: because"


def test_a_study_that_names_no_algorithm_ends_when_random_has_nothing_more_and_by_no_other_s_word(
    manager: Manager, service: Telling
) -> None:
    """Another one may have come to the end of its own points alone."""
    study_id = create(manager)
    service.over = True
    assert manager.use_cases.suggest_trials(study_id, algorithm="grid") == ((), True)
    assert manager.storage.get_study(study_id).state is StudyState.RUNNING
    assert manager.suggest(study_id) == ((), True)
    assert manager.storage.get_study(study_id).state is StudyState.COMPLETED
    assert shown(manager, study_id) == (StudyReason.EXHAUSTED, "random has nothing more to try")


@pytest.mark.parametrize("named", ["", "auto", "No Algorithm"])
def test_a_client_that_names_no_algorithm_asks_the_one_that_the_study_names_or_else_random(
    manager: Manager, service: Telling, named: str
) -> None:
    study_id = create(manager)
    tags = (Tag(ALGORITHM_TAG, named),) if named else ()
    manager.storage.update_study(study_id, lambda it: replace(it, spec=replace(it.spec, tags=tags)))
    (trial, *_), _ = manager.use_cases.suggest_trials(study_id, client_id="me")
    assert manager.go_on(trial) is not None
    manager.use_cases.suggest_trials(study_id, algorithm="tpe")
    assert list(dict.fromkeys(service.names)) == ["auto" if named == "auto" else "random", "tpe"]
