"""What both look at: studies put into a database with the storage's own writes, and the same trials in one of Optuna's."""

import json
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from katib.api.client import ManagerClient
from katib.domain.metrics import Observation
from katib.domain.names import new_id
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType, Scale, SearchSpace
from katib.domain.study import Objective, Study, StudySpec, StudyState
from katib.domain.trial import NewTrial, Trial, TrialState
from katib.manager.changes import Intake, StudyChanges, TrialMove
from katib.manager.ports import Storage

PARAMETERS = (
    ParameterConfig("--lr", ParameterType.DOUBLE, FeasibleSpace("0.0001", "0.1", scale=Scale.LOG)),
    ParameterConfig("--dropout", ParameterType.DOUBLE, FeasibleSpace("0", "0.6")),
    ParameterConfig("--momentum", ParameterType.DOUBLE, FeasibleSpace("0.5", "0.99")),
    ParameterConfig("--layers", ParameterType.INT, FeasibleSpace("1", "8")),
    ParameterConfig("--optimizer", ParameterType.CATEGORICAL, FeasibleSpace(list=("adam", "sgd", "rmsprop"))),
)

# What optuna's own environment runs: the same trials, read from a file. Added one by one, each is a transaction of its own, and
# 10,000 take a quarter of an hour on a slow disk: the first goes through Optuna, the others into the rows that it makes.
_FILL = """
import json, sqlite3, sys
from datetime import datetime
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
path, trials = sys.argv[1], json.load(open(sys.argv[2]))
space = {"--lr": FloatDistribution(0.0001, 0.1, log=True), "--dropout": FloatDistribution(0, 0.6),
         "--momentum": FloatDistribution(0.5, 0.99), "--layers": IntDistribution(1, 8),
         "--optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"])}
study = optuna.create_study(storage=f"sqlite:///{path}", study_name="bench", direction="maximize")
study.add_trial(optuna.create_trial(params=trials[0]["params"], distributions=space, value=trials[0]["value"]))
with sqlite3.connect(path) as database:
    now = str(datetime.now())
    database.executemany(
        "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete)"
        " SELECT ?, ?, study_id, state, ?, ? FROM trials WHERE trial_id = 1",
        [(n + 1, n, now, now) for n in range(1, len(trials))])
    database.executemany(
        "INSERT INTO trial_values (trial_id, objective, value, value_type)"
        " SELECT ?, objective, ?, value_type FROM trial_values WHERE trial_id = 1",
        [(n + 1, t["value"]) for n, t in enumerate(trials) if n])
    database.executemany(
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)"
        " SELECT ?, param_name, ?, distribution_json FROM trial_params WHERE trial_id = 1 AND param_name = ?",
        [(n + 1, space[name].to_internal_repr(value), name)
         for n, t in enumerate(trials) if n for name, value in t["params"].items()])
found = optuna.load_study(storage=f"sqlite:///{path}", study_name="bench").trials
assert [(t.params, t.value) for t in found] == [(t["params"], t["value"]) for t in trials]
"""


def seed(storage: Storage, trials: int, studies: int) -> tuple[str, list[str]]:
    """A study of so many trials, the last three of which run, among so many others. Returns its id and the three."""
    rng, now = random.Random(1), datetime.now(UTC)
    for n in range(studies):
        storage.create_study(
            Study(new_id(), spec(f"study-{n}"), StudyState.RUNNING, now - timedelta(days=1, seconds=n), 1)
        )
    # Without an algorithm nobody asks for more trials.
    study = storage.create_study(Study(new_id(), spec("bench"), StudyState.RUNNING, now - timedelta(hours=6), 1))
    space = SearchSpace.of(PARAMETERS)
    running: list[str] = []
    for begin in range(0, trials, 250):
        points = [[rng.random() for _ in PARAMETERS] for _ in range(min(250, trials - begin))]
        at = study.created_at + timedelta(seconds=2 * begin)
        added = list(
            storage.add_trials(
                study.id,
                storage.get_study(study.id).suggested,
                [NewTrial(new_id(), space.from_unit(point)) for point in points],
                at,
            )
        )
        storage.apply(
            study.id, StudyChanges(moves=tuple(move(t, TrialState.PENDING, TrialState.RUNNING, at) for t in added))
        )
        kept = 3 if begin + 250 >= trials else 0
        running = [trial.id for trial in added[len(added) - kept :]]
        ended = list(zip(added, points, strict=True))[: len(added) - kept]
        storage.apply(
            study.id,
            StudyChanges(
                tuple(intake(t, 1 - (p[0] - 0.6) ** 2 - 0.2 * p[1] + rng.gauss(0, 0.02), at) for t, p in ended),
                tuple(
                    move(t, TrialState.RUNNING, TrialState.COMPLETED, at + timedelta(seconds=rng.uniform(1, 9)))
                    for t, _ in ended
                ),
            ),
        )
    return study.id, running


def spec(name: str) -> StudySpec:
    return StudySpec(name, "accuracy", Objective.MAXIMIZE, PARAMETERS, owner="bench")


def move(trial: Trial, before: TrialState, after: TrialState, at: datetime) -> TrialMove:
    return TrialMove(trial.id, 1, before, after, run=f"{trial.id}-1" if after is TrialState.RUNNING else "", at=at)


def intake(trial: Trial, value: float, at: datetime) -> Intake:
    seen = Observation("accuracy", value, at, 1, "output", 1)
    return Intake(trial.id, 1, "", "1", (seen,))


def fill_peer(python: Path, folder: Path, client: ManagerClient, study: str) -> str:
    """The completed trials of the study in a database of optuna's."""
    found, token = [], ""
    while True:
        page = client.list_trials(study, [TrialState.COMPLETED], page_size=1000, page_token=token)
        found += [
            {"value": t.objective, "params": {p.name: _value(p.type, p.value) for p in t.parameters}}
            for t in page.items
        ]
        token = page.next_token
        if not token:
            break
    (folder / "trials.json").write_text(json.dumps(found))
    (folder / "fill.py").write_text(_FILL)
    path = folder / "optuna.db"
    subprocess.run([python, folder / "fill.py", path, folder / "trials.json"], check=True)
    return f"sqlite:///{path}"


def _value(type_: ParameterType, text: str) -> object:
    return text if type_ is ParameterType.CATEGORICAL else int(text) if type_ is ParameterType.INT else float(text)
