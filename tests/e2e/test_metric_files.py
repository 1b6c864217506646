"""Studies whose metrics are in files: read by the manager in the run's folder, or by the SDK beside the program."""

from pathlib import Path

import pytest

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsReader, MetricsSource
from katib.domain.errors import InvalidArgumentError
from katib.domain.study import StudySpec, StudyState
from katib.domain.trial import TrialReason, TrialState
from tests.e2e.harness import World, finished, study, trials, until
from tests.e2e.test_metrics import observations, run_one

ONE = {"max_trials": 1}
PATTERN = MetricsFormat.PATTERN
FILE, TENSORBOARD, SDK = MetricsSource.FILE, MetricsSource.TENSORBOARD, MetricsReader.SDK


def collecting(script: str, *, source: MetricsSource = FILE, **fields: object) -> StudySpec:
    return study(script=script, limits=ONE, collector=MetricsCollector(source=source, **fields))  # type: ignore[arg-type]


def test_a_file_of_lines_is_read_and_the_output_is_not(running: World) -> None:
    script = 'echo acc=0.9; for i in 1 2 3; do echo "step=$i acc=0.$i" >>"$KATIB_METRICS_PATH"; done'
    with running.client() as client:
        trial, found = run_one(client, collecting(script))
    assert (trial.state, trial.objective) == (TrialState.COMPLETED, 0.3)
    assert [(o.step, o.value, o.source) for o in found] == [(i, i / 10, "file") for i in (1, 2, 3)]


def test_a_file_below_the_run_s_own_folder_is_found(running: World) -> None:
    script = """mkdir logs; printf '{"epoch": 4, "acc": 0.5}' >logs/metrics.jsonl"""
    with running.client() as client:
        trial, found = run_one(client, collecting(script, path="logs/metrics.jsonl", format=MetricsFormat.JSON))
    assert (trial.state, [o.step for o in found]) == (TrialState.COMPLETED, [4])


def test_the_values_of_a_file_come_while_the_program_runs(running: World, tmp_path: Path) -> None:
    script = f'echo acc=0.5 >"$KATIB_METRICS_PATH"; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done'
    with running.client() as client:
        study_id = client.create_study(collecting(script))
        until(lambda: (found := trials(client, study_id)) and found[0].objective == 0.5)
        (tmp_path / "go").touch()
        finished(client, study_id)


def test_event_files_are_read(running: World, tmp_path: Path) -> None:
    program = tmp_path / "train.py"
    program.write_text(
        "import os\nfrom tensorboardX import SummaryWriter\n"
        "with SummaryWriter(os.environ['KATIB_METRICS_PATH']) as writer:\n"
        "    for step in range(50):\n        writer.add_scalar('acc', step / 64, step)\n"
    )
    with running.client() as client:
        trial, found = run_one(client, collecting(f"python {program}", source=TENSORBOARD))
    assert (trial.state, trial.objective) == (TrialState.COMPLETED, 49 / 64)
    assert [(o.step, o.value) for o in found] == [(step, step / 64) for step in range(50)]


@pytest.mark.long
def test_a_file_is_read_whole_and_once_when_the_manager_was_down_as_the_trial_ended(
    katib: World, tmp_path: Path
) -> None:
    katib.suggestion("random")
    process = katib.manager()
    script = f"""
for i in 1 2 3; do echo "step=$i acc=0.$i" >>"$KATIB_METRICS_PATH"; done
while [ ! -e {tmp_path}/go ]; do sleep 0.05; done
for i in 4 5 6 7 8 9; do echo "step=$i acc=0.$i" >>"$KATIB_METRICS_PATH"; done
touch {tmp_path}/done
"""
    with katib.client() as client:
        study_id = client.create_study(collecting(script))
        until(lambda: (found := trials(client, study_id)) and found[0].objective == 0.3)
    process.kill()
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)
    katib.manager()
    with katib.client() as client:
        assert finished(client, study_id).state is StudyState.COMPLETED
        (trial,) = trials(client, study_id)
        assert (trial.state, trial.attempt, trial.objective) == (TrialState.COMPLETED, 1, 0.9)
        assert [(o.step, o.value) for o in observations(client, trial.id)] == [(i, i / 10) for i in range(1, 10)]


def test_a_trial_whose_file_has_not_the_objective_says_where_was_looked(running: World) -> None:
    with running.client() as client:
        trial, _ = run_one(client, collecting("echo acc=0.5"))
    assert (trial.state, trial.reason) == (TrialState.ERROR, TrialReason.METRICS_UNAVAILABLE)
    assert "wrote no value of acc to " in trial.message
    assert trial.message.endswith("its last lines: acc=0.5")


@pytest.mark.long
def test_the_sdk_beside_the_program_reads_its_file_and_ends_as_it_does(running: World) -> None:
    script = (
        'mkdir -p logs; for i in 1 2 3; do echo "step=$i acc=0.$i" >>logs/m; done; echo "$1" >given; exit $((3 - 3))'
    )
    spec = collecting(script, path="logs/m", reader=SDK)
    command = ("python", "-m", "katib.sdk.collect", *spec.command)
    with running.client() as client:
        trial, found = run_one(client, StudySpec(**{**fields_of(spec), "command": command}))
        assert (trial.state, trial.objective) == (TrialState.COMPLETED, 0.3)
        assert [(o.step, o.value) for o in found] == [(i, i / 10) for i in (1, 2, 3)]
        assert found[0].source.startswith("report:sdk-")
        failing = StudySpec(
            **{**fields_of(spec), "command": ("python", "-m", "katib.sdk.collect", "sh", "-c", "exit 7")}
        )
        trial, _ = run_one(client, failing)
    assert (trial.state, trial.reason) == (TrialState.ERROR, TrialReason.EXIT_CODE)
    assert "code 7" in trial.message


@pytest.mark.long
def test_a_stop_reaches_the_program_behind_the_sdk(running: World, tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/stopped; exit 0' TERM; echo acc=0.5 >m; while :; do sleep 0.05; done"
    spec = collecting(script, path="m", reader=SDK)
    command = ("python", "-m", "katib.sdk.collect", *spec.command)
    with running.client() as client:
        study_id = client.create_study(StudySpec(**{**fields_of(spec), "command": command}))
        trial = until(lambda: next((t for t in trials(client, study_id) if t.objective is not None), None))
        client.stop_trial(trial.id)
        ended = until(lambda: (t := client.get_trial(trial.id).trial).state.finished and t)
    # It ended well, with its objective there.
    assert ended.state is TrialState.COMPLETED
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (collecting("", path="/tmp/metrics"), "path"),
        (collecting("", path="../metrics"), "path"),
        (collecting("", reader=SDK), "path"),
        (collecting("", reader=SDK, path="/tmp/logs"), "path"),
        (study(working_dir="/tmp", collector=MetricsCollector(source=FILE, path="m", reader=SDK)), "path"),
        (study(working_dir="/tmp", collector=MetricsCollector(source=FILE, path="m")), "path"),
        (study(collector=MetricsCollector(path="m")), "path"),
        (study(collector=MetricsCollector(reader=SDK)), "reader"),
        (collecting("", path="m", reader=SDK, format=PATTERN, pattern=r"(?P<value>\pN+)"), "pattern"),
        (collecting("", path="m", reader=SDK, format=PATTERN, pattern=r"(?P<value>[[:digit:]]+)"), "pattern"),
        (collecting("", source=TENSORBOARD, format=MetricsFormat.JSON), "format"),
        (study(algorithm="", collector=MetricsCollector(source=FILE)), "source"),
    ],
)
def test_what_could_never_be_read_is_refused_at_once(running: World, spec: StudySpec, field: str) -> None:
    with running.client() as client, pytest.raises(InvalidArgumentError) as caught:
        client.create_study(spec)
    assert [v.field for v in caught.value.violations] == [f"study_config.metrics_collector.{field}"]


def fields_of(spec: StudySpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in spec.__slots__}
