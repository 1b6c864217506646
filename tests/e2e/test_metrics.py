"""What trials print becomes what a study stores, by real processes: in each form, whole, once."""

import csv
import io
import json
import math
from pathlib import Path

import psutil
import pytest

from katib.api.client import ManagerClient
from katib.domain.collector import MetricsCollector, MetricsFormat
from katib.domain.errors import InvalidArgumentError
from katib.domain.metrics import Observation
from katib.domain.study import StudySpec, StudyState
from katib.domain.trial import Trial, TrialReason, TrialState
from tests.e2e.harness import World, finished, study, trials, until

ONE = {"max_trials": 1}


def run_one(client: ManagerClient, spec: StudySpec, seconds: float = 40) -> tuple[Trial, list[Observation]]:
    """The study's one trial when it has ended, and all that it reported."""
    study_id = client.create_study(spec)
    finished(client, study_id, seconds)
    (trial,) = trials(client, study_id)
    return trial, observations(client, trial.id)


def observations(client: ManagerClient, trial_id: str) -> list[Observation]:
    found: list[Observation] = []
    token = ""
    while True:
        page = client.list_observations(trial_id, page_size=10_000, page_token=token)
        found += page.items
        token = page.next_token
        if not token:
            return found


def test_json_lines_are_read_with_their_steps(running: World) -> None:
    script = """printf '%s\\n' start '{"epoch": 1, "acc": 0.5, "loss": 2}' '{"epoch": 2, "acc": NaN}' '{"acc": 0.75}'"""
    with running.client() as client:
        trial, found = run_one(
            client,
            study(script=script, limits=ONE, metrics=("loss",), collector=MetricsCollector(MetricsFormat.JSON)),
        )
    assert (trial.state, trial.objective) == (TrialState.COMPLETED, 0.75)
    assert [(o.name, o.step) for o in found] == [("acc", 1), ("loss", 1), ("acc", 2), ("acc", None)]
    assert math.isnan(found[2].value)


def test_a_pattern_of_the_user_s_is_read(running: World) -> None:
    collector = MetricsCollector(MetricsFormat.PATTERN, r"Epoch (?P<step>\d+).* val_acc: (?P<value>\S+)")
    with running.client() as client:
        trial, found = run_one(
            client, study(script="echo 'Epoch 7/10 - loss: 1 - val_acc: 0.25'", limits=ONE, collector=collector)
        )
    assert (trial.objective, [o.step for o in found]) == (0.25, [7])


def test_a_pattern_that_could_take_for_ever_is_refused_before_anything_is_stored(running: World) -> None:
    with running.client() as client:
        before = client.list_studies(page_size=1000).items
        with pytest.raises(InvalidArgumentError) as caught:
            client.create_study(
                study(collector=MetricsCollector(MetricsFormat.PATTERN, r"(?P<value>\d+)(?=x)"), limits=ONE)
            )
        assert caught.value.violations[0].field == "study_config.metrics_collector.pattern"
        assert client.list_studies(page_size=1000).items == before


def test_the_steps_of_printed_lines_are_kept(running: World) -> None:
    with running.client() as client:
        _, found = run_one(client, study(script="echo step=10 acc=0.1; echo epoch=2 acc=0.2; echo acc=0.3", limits=ONE))
    assert [o.step for o in found] == [10, 2, None]


def test_a_trial_without_its_objective_says_what_was_seen_and_what_to_do(running: World) -> None:
    with running.client() as client:
        trial, _ = run_one(client, study(script="echo step=1 Acc=0.5 loss=2; echo bye", limits=ONE))
    assert (trial.state, trial.reason) == (TrialState.ERROR, TrialReason.METRICS_UNAVAILABLE)
    assert "values of step, Acc, loss; if Acc is meant, name it so in the study" in trial.message
    assert trial.message.endswith("its last lines: step=1 Acc=0.5 loss=2 | bye")


def test_a_trial_whose_objective_stands_in_a_line_that_is_too_long_says_so(running: World) -> None:
    with running.client() as client:
        script = "head -c 70000 /dev/zero | tr '\\0' x; echo ' acc=0.5'"
        trial, _ = run_one(client, study(script=script, limits=ONE))
    assert (trial.state, trial.reason) == (TrialState.ERROR, TrialReason.METRICS_UNAVAILABLE)
    assert "it printed 'acc=0.5' in a line of more than 64 KiB, of which only the beginning is read" in trial.message


def test_odd_output_does_no_harm(running: World) -> None:
    script = r"""
head -c 3000000 /dev/zero | tr '\0' x; echo
printf 'acc=0.1 \033[32macc=0.2\033[0m\r50%% acc=0.3\r\n'
head -c 200000 /dev/urandom
printf '\n\377\376 acc=0.4\nacc=0.5'
"""
    with running.client() as client:
        trial, found = run_one(client, study(script=script, limits=ONE))
    assert trial.state is TrialState.COMPLETED
    assert [o.value for o in found] == [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.slow
def test_a_million_lines_are_read_in_bounded_memory(katib: World) -> None:
    process = katib.local()
    size = psutil.Process(process.popen.pid).memory_info
    script = """awk 'BEGIN { for (i = 1; i <= 1000000; i++) print (i % 20 ? "line " : "step=" i " acc=") i }'"""
    with katib.client() as client:
        run_one(client, study(limits=ONE))
        before = size().rss
        _, found = run_one(client, study(script=script, limits=ONE), seconds=100)
        assert [o.step for o in found] == list(range(20, 1_000_001, 20))
    assert size().rss - before < 100 * 1024 * 1024


@pytest.mark.long
def test_nothing_is_lost_or_taken_twice_when_the_manager_was_down_as_the_trial_ended(
    katib: World, tmp_path: Path
) -> None:
    katib.suggestion("random")
    process = katib.manager()
    gate = tmp_path / "gate"
    script = f"""
for i in 1 2 3; do echo step=$i acc=0.$i; done
while [ ! -e {gate} ]; do sleep 0.05; done
for i in 4 5 6 7 8 9; do echo step=$i acc=0.$i; done; printf 'step=10 acc=1'; touch {gate}.done
"""
    with katib.client() as client:
        study_id = client.create_study(study(script=script, limits=ONE))
        until(lambda: (found := trials(client, study_id)) and found[0].objective == 0.3)
    process.kill()
    gate.touch()
    until((tmp_path / "gate.done").exists)
    katib.manager()
    with katib.client() as client:
        assert finished(client, study_id).state is StudyState.COMPLETED
        (trial,) = trials(client, study_id)
        assert (trial.state, trial.attempt, trial.objective) == (TrialState.COMPLETED, 1, 1.0)
        assert [(o.step, o.value) for o in observations(client, trial.id)] == [
            *((i, i / 10) for i in range(1, 10)),
            (10, 1.0),
        ]


@pytest.mark.long
def test_a_trial_s_curve_is_shown_and_everything_of_a_study_is_exported(running: World) -> None:
    script = 'for i in 1 2 3 4 5 6 7 8 9; do echo "step=$i acc=0.$i loss=nan"; done; [ "$KATIB_ATTEMPT" = 2 ]'
    limits = {"max_trials": 2, "retry_limit": 1}
    with running.client() as client:
        study_id = client.create_study(study(script=script, limits=limits, metrics=("loss",)))
        finished(client, study_id)
        (first, second) = trials(client, study_id)
    shown = running.cli("get", "trial", first.id).stdout
    assert "acc: 0.9 (lowest 0.1, highest 0.9)" in shown
    assert "0.9 ┤" in shown
    assert "\x1b" not in shown
    rows = list(csv.DictReader(io.StringIO(running.cli("export", study_id).stdout)))
    assert [(r["trial_number"], r["trial_id"], r["attempt"], r["step"]) for r in rows if r["name"] == "acc"] == [
        (str(t.number), t.id, attempt, str(step)) for t in (first, second) for attempt in "12" for step in range(1, 10)
    ]
    assert {r["value"] for r in rows if r["name"] == "loss"} == {"nan"}
    found = json.loads(running.cli("export", study_id, "-o", "json", "--metric", "acc").stdout)
    assert [row["value"] for row in found] == [i / 10 for i in range(1, 10)] * 4
    refused = running.cli("export", study_id, "-o", "json", "--metric", "none", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
