"""What must hold when everything that was killed has been started again and has come to its end: a list of what does not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import func, or_, select

from katib.domain.errors import NotFoundError
from katib.domain.metrics import Observation
from katib.domain.models import SavedModel
from katib.domain.names import run_name
from katib.domain.study import Limits, Study, StudyReason, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from katib.manager.models import ModelStore
from katib.manager.modelstore.open import open_model_store
from katib.manager.ports import Storage, StudyFilter, TrialFilter
from katib.manager.storage.sql import tables
from katib.manager.storage.sql.engine import make_engine, parse_url
from katib.manager.storage.sql.rows import DELETED
from katib.suggestion.algorithms.grid import GridSearch
from katib.suggestion.algorithms.random import RandomSearch
from katib.suggestion.service import Call, generate
from tests.faults import scripted
from tests.faults.scripted import Note
from tests.faults.studies import DELETE, STOP, Asked

Values = list[tuple[str, float]]


@dataclass
class Found:
    """What is left of a study: rows, notes of its trials, and what they printed. `study` None: it is not there."""

    asked: Asked
    study: Study | None
    trials: Sequence[Trial] = ()
    # By trial id and attempt.
    observations: Mapping[tuple[str, int], Sequence[Observation]] = field(default_factory=dict)
    outputs: Mapping[tuple[str, int], Values] = field(default_factory=dict)
    notes: Mapping[tuple[str, int], Note] = field(default_factory=dict)
    # By trial id: the numbers of the attempts that are kept beside the last one.
    earlier: Mapping[str, Sequence[int]] = field(default_factory=dict)
    # The records of models, one for each that there is, and what the models that are there say.
    models: Sequence[SavedModel] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def gather(storage: Storage, data: Path, notes: Path, studies: Sequence[Asked]) -> tuple[list[Found], list[str]]:
    """Everything, and what belongs to no study that was asked for."""
    noted = scripted.read_notes(notes)
    found = [_gather_one(storage, data, noted, asked) for asked in studies]
    trials = {trial.id for one in found for trial in one.trials}
    deleted = {one.asked.study_id for one in found if one.asked.fate == DELETE}
    gone = {id_ for id_, _ in noted if id_ not in trials}
    strange = []
    if gone and not deleted:
        strange.append(f"trials ran that no study has: {', '.join(sorted(gone))}")
    ids = {asked.study_id for asked in studies}
    token = ""
    while True:
        page = storage.list_studies(StudyFilter(), 1000, token)
        strange += [f"study {s.id} ({s.spec.name}) was asked for by nobody" for s in page.items if s.id not in ids]
        token = page.next_token
        if not token:
            break
    for study_id in deleted:
        if (data / "runs" / study_id).is_dir():
            strange.append(f"study {study_id} has been deleted, and the folder of its runs is still there")
    return found, strange


def left_behind(url: str) -> list[str]:
    """Rows that belong to nothing that is there. Before a storage opens the database, which would remove some of them."""
    studies, trials = tables.studies, tables.trials
    of_studies = trials.outerjoin(studies, trials.c.study_id == studies.c.id)
    gone = or_(studies.c.id.is_(None), studies.c.state == DELETED)
    counts = {
        "studies that are marked as deleted": select(func.count()).where(studies.c.state == DELETED),
        "trials": select(func.count()).select_from(of_studies).where(gone),
    }
    for table in (tables.observations, tables.attempts):
        of_trials = table.outerjoin(trials, table.c.trial_id == trials.c.id)
        rows = of_trials.outerjoin(studies, trials.c.study_id == studies.c.id)
        counts[table.name] = select(func.count()).select_from(rows).where(gone)
    engine = make_engine(parse_url(url))
    with engine.connect() as connection:
        found = {what: connection.execute(count).scalar_one() for what, count in counts.items()}
    engine.dispose()
    return [f"rows of studies that are gone are left: {number} {what}" for what, number in found.items() if number]


def _gather_one(storage: Storage, data: Path, noted: Mapping[tuple[str, int], Note], asked: Asked) -> Found:
    try:
        study = storage.get_study(asked.study_id)
    except NotFoundError:
        return Found(asked, None)
    trials: list[Trial] = []
    token = ""
    while True:
        page = storage.list_trials(TrialFilter(study_id=study.id), 1000, token)
        trials += page.items
        token = page.next_token
        if not token:
            break
    attempts = [(t.id, attempt) for t in trials for attempt in range(1, t.attempt + 1)]
    ids = {t.id for t in trials}
    return Found(
        asked,
        study,
        trials,
        {key: storage.list_observations(*key, (), 10_000, "").items for key in attempts},
        {key: _output(data / "runs" / study.id / run_name(*key) / "output") for key in attempts},
        {key: note for key, note in noted.items() if key[0] in ids},
        {t.id: [a.number for a in storage.earlier_attempts(t.id)] for t in trials},
        saved_models(open_model_store(storage), study),
        {t.id: path.read_text().strip() for t in trials if (path := _model(data, t)).is_file()},
    )


def has_models(storage: Storage, store: ModelStore, study_id: str) -> bool:
    """Whether every model is there that should be, and no other."""
    try:
        study = storage.get_study(study_id)
    except NotFoundError:
        return True
    there = {model.trial_id for model in saved_models(store, study)}
    return there == models_to_keep(study, storage.finished_trials(study_id))


def _model(data: Path, trial: Trial) -> Path:
    return data / "runs" / trial.study_id / run_name(trial.id, trial.attempt) / "model"


def saved_models(store: ModelStore, study: Study) -> list[SavedModel]:
    """Every record of the study's."""
    if study.spec.name not in [saved.name for saved in store.saved_studies()]:
        return []
    found: list[SavedModel] = []
    token = ""
    while True:
        page = store.saved_models(study.spec.name, 1000, token)
        found += [model for model in page.items if model.study_id == study.id]
        token = page.next_token
        if not token:
            return found


def _output(path: Path) -> Values:
    """What a run's output says, read by a simpler reader than the worker's."""
    if not path.exists():
        return []
    pairs = (word.partition("=") for word in path.read_text().split())
    return [(name, float(value)) for name, _, value in pairs if value]


def check(found: Found) -> Iterator[str]:
    """What is wrong with a study, each as a sentence."""
    who = f"{found.asked.spec.name} ({found.asked.study_id})"
    for wrong in _check(found):
        yield f"study {who}: {wrong}"


def _check(found: Found) -> Iterator[str]:
    asked, study = found.asked, found.study
    if study is None:
        if asked.fate != DELETE:
            yield "is not there"
        return
    if asked.fate == DELETE:
        yield "has been deleted, and is still there"
        return
    yield from _check_end(asked, study)
    yield from _check_counts(asked, study, found.trials)
    if study.spec.algorithm in ("random", "grid"):
        yield from _check_parameters(study, found.trials)
    known = {(t.id, attempt) for t in found.trials for attempt in range(1, t.attempt + 1)}
    for trial_id, attempt in sorted(found.notes.keys() - known):
        yield f"attempt {attempt} of trial {trial_id} ran, and the database knows nothing of it"
    yield from _check_models(found)
    for trial in found.trials:
        for wrong in _check_trial(found, trial):
            yield f"trial {trial.number} ({trial.id}, {trial.state.value} at attempt {trial.attempt}): {wrong}"


def _check_end(asked: Asked, study: Study) -> Iterator[str]:
    allowed = {(StudyState.COMPLETED, StudyReason.EXHAUSTED if asked.kind == "grid" else StudyReason.MAX_TRIALS)}
    if asked.fate == STOP:
        allowed.add((StudyState.STOPPED, StudyReason.STOPPED_BY_USER))
    if (study.state, study.reason) not in allowed:
        yield f"is {study.state.value} with reason {study.reason!r} ({study.message})"


def _check_counts(asked: Asked, study: Study, trials: Sequence[Trial]) -> Iterator[str]:
    if asked.trials is not None and len(trials) != asked.trials:
        yield f"has {len(trials)} trials and was asked for {asked.trials}"
    numbers = [t.number for t in trials]
    if numbers != list(range(1, len(trials) + 1)):
        yield f"numbers its trials {numbers}"
    states = Counter(t.state for t in trials)
    counted = (study.suggested, study.pending, study.running, study.completed, study.killed, study.failed)
    real = (len(trials), *(states[s] for s in TrialState if s is not TrialState.ERROR), states[TrialState.ERROR])
    if counted != real:
        yield f"counts {counted} where its trials are {real} (suggested, pending, running, completed, killed, failed)"
    best = max(
        (t for t in trials if t.state is TrialState.COMPLETED and t.objective is not None),
        key=lambda t: (t.objective, -t.number),
        default=None,
    )
    if (study.best_trial_id, study.best_objective) != ((best.id, best.objective) if best else ("", None)):
        yield f"calls {study.best_trial_id!r} with {study.best_objective} its best trial; it is {best}"


def _check_parameters(study: Study, trials: Sequence[Trial]) -> Iterator[str]:
    """Trial n has the parameters that an undisturbed study would have given it."""
    algorithm = RandomSearch() if study.spec.algorithm == "random" else GridSearch()
    spec = replace(study.spec, limits=Limits(max_trials=max(1, len(trials))))
    suggested = generate(algorithm, Call(study.id, spec, 0, 0, first_number=1)).suggestions
    for trial, suggestion in zip(trials, suggested, strict=False):
        if trial.parameters != suggestion.parameters:
            yield f"trial {trial.number} has the parameters {trial.parameters} instead of {suggestion.parameters}"


def models_to_keep(study: Study, trials: Sequence[Trial]) -> set[str]:
    """The trials whose models should be there when all is over."""
    ranked = sorted(
        (t for t in trials if t.state.finished),
        key=lambda t: (
            t.state is not TrialState.COMPLETED or t.objective is None,
            -(t.objective or 0.0) if t.state is TrialState.COMPLETED else 0.0,
            t.number,
        ),
    )
    _, _, most = study.spec.keep_models.partition(":")
    return {t.id for t in (ranked[: int(most)] if most else ranked)}


def _check_models(found: Found) -> Iterator[str]:
    """One record for each trial that should have one, and the model that it speaks of."""
    assert found.study is not None
    counted = Counter(model.trial_id for model in found.models)
    wanted = models_to_keep(found.study, found.trials)
    if twice := [trial_id for trial_id, count in counted.items() if count > 1]:
        yield f"has several models of the trials {twice}"
    if counted.keys() != wanted:
        yield f"has no models of the trials {wanted - counted.keys()}, and models of {counted.keys() - wanted}"
    trials = {t.id: t for t in found.trials}
    for model in found.models:
        trial = trials.get(model.trial_id)
        if trial is None:
            continue
        if (model.number, model.state, model.objective) != (trial.number, trial.state, trial.objective):
            yield f"says of trial {trial.number}'s model {(model.number, model.state, model.objective)}"
        if bool(model.model_path) != (trial.id in found.files):
            yield f"says that trial {trial.number}'s model is at {model.model_path!r}; there: {found.files.get(trial.id)}"
    for trial_id, text in found.files.items():
        if text != run_name(trial_id, trials[trial_id].attempt):
            yield f"has in the place of trial {trials[trial_id].number}'s model {text!r}"
        if trial_id not in wanted:
            yield f"keeps the model of trial {trials[trial_id].number}, which is none of the best"


def _check_trial(found: Found, trial: Trial) -> Iterator[str]:
    asked = found.asked
    if not trial.state.finished:
        yield f"is not finished ({trial.reason}: {trial.message})"
        return
    if found.earlier[trial.id] != list(range(1, trial.attempt)):
        yield f"keeps the earlier attempts {found.earlier[trial.id]}"
    if asked.spec.client_driven:
        yield from _check_driven(found, trial)
        return
    yield from _check_state(asked, trial)
    arguments = " ".join(f"{p.name}={p.value}" for p in trial.parameters)
    ended_before = 0.0
    for attempt in range(1, trial.attempt + 1):
        key = (trial.id, attempt)
        cut_short = trial.state is TrialState.KILLED and attempt == trial.attempt
        note = found.notes.get(key, Note((), ()))
        if len(note.starts) != 1 and not (cut_short and not note.starts):
            yield f"attempt {attempt} was executed {len(note.starts)} times: {note.starts}"
            continue
        fails = scripted.fails(asked.spec.command, *key)
        if [code for _, code in note.ends] != [scripted.EXIT_CODE if fails else 0] and not (
            cut_short and not note.ends
        ):
            yield f"attempt {attempt} ended so: {note.ends}"
        for began, process, given in note.starts:
            if given != arguments:
                yield f"attempt {attempt} was given {given!r} instead of {arguments!r}"
            if began < ended_before:
                yield f"attempt {attempt} (process {process}) began {ended_before - began:.3f} s before the one before ended"
        ended_before = max((at for at, _ in note.ends), default=ended_before)
        if attempt < trial.attempt and not fails:
            yield f"attempt {attempt} went well and was followed by another"
        yield from _check_observations(found, key, whole=not cut_short)
    last = [v for n, v in found.outputs[trial.id, trial.attempt] if n == "acc"]
    if trial.objective != (last[-1] if last else None):
        yield f"has the objective {trial.objective}; the last one that it printed is {last[-1:]}"


def _check_state(asked: Asked, trial: Trial) -> Iterator[str]:
    if trial.state is TrialState.ERROR:
        fails = scripted.fails(asked.spec.command, trial.id, trial.attempt)
        if not fails or trial.attempt <= (asked.spec.limits.retry_limit or 0) or trial.reason != TrialReason.EXIT_CODE:
            yield f"failed without cause: {trial.reason}, {trial.message}"
    elif trial.state is TrialState.KILLED:
        reasons = {TrialReason.STOPPED_BY_USER} if trial.id in asked.stopped else set()
        reasons |= {TrialReason.EARLY_STOPPED} if asked.spec.rule else set()
        reasons |= {TrialReason.STOPPED_BY_USER, TrialReason.STUDY_ENDED} if asked.fate else set()
        if trial.reason not in reasons:
            yield f"was killed without cause: {trial.reason}, {trial.message}"


def _check_observations(found: Found, key: tuple[str, int], *, whole: bool) -> Iterator[str]:
    """Each line once, in order: as the output says, and where nobody ended the attempt, as it must have printed."""
    stored = [(o.name, o.value) for o in found.observations[key]]
    if stored != found.outputs[key]:
        yield f"attempt {key[1]} printed {found.outputs[key]}, and stored is {stored}"
    if whole and stored != (meant := scripted.printed(found.asked.spec.command, *key)):
        yield f"attempt {key[1]} has {stored} stored, and should have {meant}"


def _check_driven(found: Found, trial: Trial) -> Iterator[str]:
    reported = found.asked.reported.get(trial.id)
    stored = [o.value for o in found.observations[trial.id, 1]]
    if trial.state is not TrialState.COMPLETED or trial.attempt != 1:
        yield f"its client completed it ({trial.reason}: {trial.message})"
    if stored != reported:
        yield f"its client reported {reported}, and stored is {stored}"
    elif trial.objective != reported[-1]:
        yield f"has the objective {trial.objective}, and the last one reported is {reported[-1]}"
