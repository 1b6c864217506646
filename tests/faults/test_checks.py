"""The campaign's own parts: its checks notice what they are for, its blows fall where they should."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from katib.domain.metrics import Observation
from katib.domain.models import SavedModel
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study import Study, StudyReason, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.manager.storage.open import open_storage
from katib.manager.storage.sql import deletion
from katib.manager.storage.sql.rows import DELETED
from katib.manager.storage.sql.storage import SqlStorage
from tests.faults import scripted, studies
from tests.faults.blows import EVENTS, MANAGER, Events, Moment, draw
from tests.faults.checks import Found, check, left_behind
from tests.faults.scripted import Note
from tests.faults.studies import DELETE, STOP, Asked
from tests.storage.builders import completed, make_study
from tests.storage.execute import execute

NOW = datetime(2026, 1, 2, tzinfo=UTC)
# Of `flaky` trials, by their ids: one that goes well at once, one that fails once.
STEADY, RETRIED = "a000000080000000", "a000000090000000"


def sound() -> Found:
    """A study of two trials as it should be."""
    spec = replace(studies.flaky("flaky-1", 2, random.Random(0)), algorithm="other")
    trials = [_trial(1, STEADY, 1), _trial(2, RETRIED, 2)]
    printed = {(t.id, a): scripted.printed(spec.command, t.id, a) for t in trials for a in range(1, t.attempt + 1)}
    trials = [replace(t, objective=printed[t.id, t.attempt][-1][1]) for t in trials]
    best = trials[1]
    return Found(
        Asked("flaky", spec, "r", 2, study_id="b000000000000000"),
        Study(
            id="b000000000000000",
            spec=spec,
            state=StudyState.COMPLETED,
            created_at=NOW,
            revision=9,
            reason=StudyReason.MAX_TRIALS,
            suggested=2,
            completed=2,
            best_trial_id=best.id,
            best_objective=best.objective,
        ),
        trials,
        {
            key: [Observation(n, v, NOW, key[1], "output", i) for i, (n, v) in enumerate(p)]
            for key, p in printed.items()
        },
        dict(printed),
        {
            (STEADY, 1): Note(((1.0, 11, "x=1"),), ((2.0, 0),)),
            (RETRIED, 1): Note(((1.0, 12, "x=2"),), ((2.0, scripted.EXIT_CODE),)),
            (RETRIED, 2): Note(((3.0, 13, "x=2"),), ((4.0, 0),)),
        },
        {STEADY: [], RETRIED: [1]},
        [_model_of(t) for t in trials],
        {t.id: f"{t.id}-{t.attempt}" for t in trials},
    )


def _model_of(trial: Trial) -> SavedModel:
    """As the manager keeps it."""
    return SavedModel(
        "flaky-1",
        trial.id,
        trial.parameters,
        (),
        f"/data/{trial.id}-{trial.attempt}/model",
        study_id=trial.study_id,
        number=trial.number,
        state=trial.state,
        objective=trial.objective,
        kept=True,
    )


def _trial(number: int, id_: str, attempt: int) -> Trial:
    parameters = (Parameter("x", ParameterType.INT, str(number)),)
    return Trial(id_, "b000000000000000", number, attempt, TrialState.COMPLETED, parameters, NOW, 9)


def _study(**changes: object) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        assert found.study is not None
        found.study = replace(found.study, **changes)  # type: ignore[arg-type]

    return change


def _first(**changes: object) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        found.trials = [replace(found.trials[0], **changes), *found.trials[1:]]  # type: ignore[arg-type]

    return change


def _note(
    attempt: int, starts: tuple[tuple[float, int, str], ...], *ends: tuple[float, int]
) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        found.notes = {**found.notes, (RETRIED, attempt): Note(starts, ends)}

    return change


def _stored(change_: Callable[[list[Observation]], list[Observation]]) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        key = (STEADY, 1)
        found.observations = {**found.observations, key: change_(list(found.observations[key]))}

    return change


def _lose_output(found: Found) -> None:
    """The same is missing in what was printed and in what is stored."""
    key = (STEADY, 1)
    found.outputs = {**found.outputs, key: found.outputs[key][:2]}
    found.observations = {**found.observations, key: found.observations[key][:2]}


def _asked(**changes: object) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        found.asked = replace(found.asked, **changes)  # type: ignore[arg-type]

    return change


def _kept(found: Found) -> None:
    found.earlier = {**found.earlier, RETRIED: [1, 1]}


def _models(change_: Callable[[list[SavedModel]], list[SavedModel]]) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        found.models = change_(list(found.models))

    return change


def _left(**files: str) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        found.files = {**found.files, **files}

    return change


def _best_one(found: Found) -> None:
    """Only the best trial's model is wanted."""
    assert found.study is not None
    found.study = replace(found.study, spec=replace(found.study.spec, keep_models="best:1"))


WRONG: dict[str, tuple[Callable[[Found], None], str]] = {
    "a study that goes on": (_study(state=StudyState.RUNNING, reason=""), "is RUNNING"),
    "a study that ended for another reason": (_study(reason=StudyReason.EXHAUSTED), "SearchSpaceExhausted"),
    "a trial too many": (_asked(trials=1), "has 2 trials and was asked for 1"),
    "a trial too few": (_asked(trials=3), "has 2 trials and was asked for 3"),
    "a number left out": (_first(number=3), "numbers its trials"),
    "a wrong counter": (_study(completed=3), "counts"),
    "a trial suggested and not there": (_study(suggested=3), "counts"),
    "the wrong best trial": (_study(best_trial_id=STEADY), "its best trial"),
    "a trial that is stuck": (_first(state=TrialState.RUNNING), "is not finished"),
    "a trial killed by nobody": (_first(state=TrialState.KILLED, reason=TrialReason.STOPPED_BY_USER), "killed without"),
    "a trial failed by nobody": (
        _first(state=TrialState.ERROR, reason=TrialReason.START_FAILED),
        "failed without cause",
    ),
    "another objective": (_first(objective=0.25), "has the objective 0.25"),
    "other parameters": (_first(parameters=()), "was given 'x=1' instead of ''"),
    "an attempt executed twice": (
        _note(2, ((3.0, 13, "x=2"), (3.1, 14, "x=2")), (4.0, 0)),
        "attempt 2 was executed 2 times",
    ),
    "an attempt never executed": (_note(2, ()), "attempt 2 was executed 0 times"),
    "an attempt not run to its end": (_note(2, ((3.0, 13, "x=2"),)), "attempt 2 ended so: ()"),
    "attempts that overlap": (_note(2, ((1.5, 13, "x=2"),), (4.0, 0)), "began 0.500 s before the one before ended"),
    "an attempt that nobody knows": (_note(3, ((5.0, 15, "x=2"),), (6.0, 0)), "the database knows nothing of it"),
    "an attempt kept twice": (_kept, "keeps the earlier attempts"),
    "a value stored twice": (_stored(lambda o: [*o, o[-1]]), "stored is"),
    "a value not stored": (_stored(lambda o: o[:-1]), "stored is"),
    "values in another order": (_stored(lambda o: o[::-1]), "stored is"),
    "another value": (_stored(lambda o: [replace(o[0], value=1.0), *o[1:]]), "stored is"),
    "output cut off": (_lose_output, "should have"),
    "a model kept twice": (_models(lambda m: [*m, m[0]]), "has several models of the trials"),
    "a model not kept": (_models(lambda m: m[1:]), f"has no models of the trials {{'{STEADY}'}}"),
    "a model of nobody's": (_models(lambda m: [*m, replace(m[0], trial_id="c" * 16)]), "and models of"),
    "a model that speaks of another state": (
        _models(lambda m: [replace(m[0], objective=9.0), m[1]]),
        "says of trial 1",
    ),
    "a model that is said to be nowhere": (_models(lambda m: [replace(m[0], model_path=""), m[1]]), "model is at ''"),
    "a model of another attempt": (_left(**{RETRIED: f"{RETRIED}-1"}), "in the place of trial 2's model"),
    "a model that should have gone": (_best_one, "which is none of the best"),
    "a study deleted and there": (_asked(fate=DELETE), "is still there"),
}


def test_a_study_as_it_should_be_has_nothing_wrong() -> None:
    assert list(check(sound())) == []


@pytest.mark.parametrize("what", WRONG)
def test_each_thing_that_can_be_wrong_is_noticed(what: str) -> None:
    change, said = WRONG[what]
    found = sound()
    change(found)
    assert any(said in wrong for wrong in check(found)), list(check(found))


def test_a_trial_stopped_by_its_user_may_have_come_to_any_point() -> None:
    found = sound()
    _first(state=TrialState.KILLED, reason=TrialReason.STOPPED_BY_USER)(found)
    _study(completed=1, killed=1)(found)
    _asked(stopped={STEADY})(found)
    _models(lambda m: [replace(m[0], state=TrialState.KILLED), m[1]])(found)
    assert list(check(found)) == []
    found.notes = {key: note for key, note in found.notes.items() if key[0] != STEADY}
    assert list(check(found)) == []


def test_a_study_that_nobody_deleted_is_missed() -> None:
    asked = sound().asked
    assert list(check(Found(asked, None))) == ["study flaky-1 (b000000000000000): is not there"]
    assert list(check(Found(replace(asked, fate=DELETE), None))) == []
    assert list(check(Found(replace(asked, fate=STOP), None))) != []


def test_other_parameters_than_an_undisturbed_study_would_have_are_noticed() -> None:
    found = sound()
    assert found.study is not None
    found.study = replace(found.study, spec=replace(found.study.spec, algorithm="random"))
    assert sum("has the parameters" in wrong for wrong in check(found)) == 2


def test_the_seed_determines_the_blows_and_all_kinds_of_them_fall() -> None:
    def fall(seed: int) -> list[object]:
        rng = random.Random(seed)
        return [draw(rng, studies.VICTIMS) for _ in range(300)]

    assert fall(7) == fall(7) != fall(8)
    rng = random.Random(7)
    drawn = [draw(rng, studies.VICTIMS) for _ in range(300)]
    on_manager = [blow for blow in drawn if MANAGER in blow.targets]
    assert len(on_manager) > 200
    assert min(Counter(blow.moment for blow in on_manager)[moment] for moment in Moment) > 30
    assert {blow.event for blow in on_manager if blow.moment is Moment.EVENT} == set(EVENTS)
    assert sum(blow.gentle is not None for blow in on_manager) > 10
    assert {name for blow in drawn for name in blow.targets} == {MANAGER, *studies.SERVICES}
    assert any(len(blow.targets) > 1 for blow in on_manager)


def test_an_event_told_by_the_pipe_is_counted_once_however_it_is_cut(tmp_path: Path) -> None:
    events = Events(tmp_path / "pipe")
    with events.pipe.open("wb", buffering=0) as pipe:
        pipe.write(b"start\nsta")
        pipe.write(b"rt\nend\n")
        while events.count("end") < 1:
            assert events.wait("end", 20) or events.count("end")
    assert events.count("start") == 2
    events.close()


def test_rows_of_a_study_that_is_gone_are_noticed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/it.db"
    with closing(open_storage(url)) as storage:
        assert isinstance(storage, SqlStorage)
        study, kept = storage.create_study(make_study()), storage.create_study(make_study())
        completed(storage, kept, 0.5)
        completed(storage, study, 0.5, 0.6)
        assert left_behind(url) == []
        # As far as a deletion's first transaction.
        storage.database.write(lambda session: deletion._mark(session, study.id))
        assert left_behind(url) == [
            "rows of studies that are gone are left: 1 studies that are marked as deleted",
            "rows of studies that are gone are left: 2 trials",
            "rows of studies that are gone are left: 2 observations",
        ]
    # A trial without its study, which foreign keys would not let be.
    execute(
        url,
        f"DELETE FROM studies WHERE state = '{DELETED}'",
        "INSERT INTO attempts SELECT 'x', 1, '', '', '', 1, 1, 1, 1",
    )
    assert len(left_behind(url)) == 3
