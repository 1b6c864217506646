"""`katib.report` and `katib.should_stop` in the programs of real trials, whatever becomes of the manager."""

import signal
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.client import ManagerClient
from katib.api.credentials import bearer
from katib.domain.collector import MetricsCollector, MetricsReader, MetricsSource
from katib.domain.study import StudySpec, StudyState
from katib.domain.trial import TrialReason, TrialState
from tests.e2e.harness import World, finished, stub, study, trials, until
from tests.e2e.test_metrics import observations

pytestmark = pytest.mark.long

ONE = {"max_trials": 1}


def program(folder: Path, text: str, **changes: object) -> StudySpec:
    """A study whose trials run this Python program, which has its folder as FOLDER."""
    path = folder / "train.py"
    path.write_text(f"from pathlib import Path\nFOLDER = Path({str(folder)!r})\n{textwrap.dedent(text)}")
    return study(command=("python", str(path)), **{"limits": ONE, **changes})


def stored(client: ManagerClient, trial_id: str) -> list[tuple[str, float, int | None]]:
    return [(o.name, o.value, o.step) for o in observations(client, trial_id)]


def test_what_a_program_reports_is_stored_in_order_with_its_steps(running: World, tmp_path: Path) -> None:
    text = """
        import katib
        for step in range(1, 2501):
            katib.report({"loss-1": 1 / step}, step=step, acc=step)
        katib.report(acc=float("nan"))
        katib.report(acc=0.5)
    """
    with running.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        found = stored(client, trial.id)
    assert (trial.state, trial.objective) == (TrialState.COMPLETED, 0.5)
    assert found[:5000:2] == [("loss-1", 1 / step, step) for step in range(1, 2501)]
    assert found[1:5000:2] == [("acc", step, step) for step in range(1, 2501)]
    assert repr(found[5000:]) == "[('acc', nan, None), ('acc', 0.5, None)]"


def test_reports_come_while_the_program_runs(running: World, tmp_path: Path) -> None:
    text = """
        import time, katib
        katib.report(acc=0.25)
        while not (FOLDER / "go").exists():
            time.sleep(0.05)
    """
    with running.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        until(lambda: (found := trials(client, study_id)) and found[0].objective == 0.25)
        (tmp_path / "go").touch()
        assert finished(client, study_id).completed == 1


@pytest.mark.slow
def test_nothing_is_lost_or_there_twice_when_the_manager_is_killed_and_away_as_the_program_ends(
    katib: World, tmp_path: Path
) -> None:
    text = """
        import time, katib
        for step in range(1, 101):
            katib.report(acc=step, step=step)
        while not (FOLDER / "go").exists():
            time.sleep(0.05)
        for step in range(101, 201):
            katib.report(acc=step, step=step)
    """
    process = katib.local()
    with katib.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        until(lambda: (found := trials(client, study_id)) and found[0].objective == 100)
        run = trials(client, study_id)[0].run
    process.end(signal.SIGKILL)
    (tmp_path / "go").touch()
    until((katib.folder / "data" / "runs" / study_id / run / "exit").exists)
    katib.local()
    with katib.client() as client:
        assert finished(client, study_id).state is StudyState.COMPLETED
        (trial,) = trials(client, study_id)
        assert (trial.attempt, trial.objective) == (1, 200)
        assert stored(client, trial.id) == [("acc", step, step) for step in range(1, 201)]


def test_reports_reach_a_study_whose_runs_cannot_reach_the_manager(katib: World, tmp_path: Path) -> None:
    katib.suggestion("random")
    katib.manager("--advertise-address", "none")
    text = """
        import katib, os
        assert "KATIB_SERVER" not in os.environ
        katib.report(acc=0.5, step=3)
    """
    with katib.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        assert stored(client, trial.id) == [("acc", 0.5, 3)]


def test_a_program_that_asks_whether_to_stop_ends_by_itself(running: World, tmp_path: Path) -> None:
    text = """
        import time, katib
        katib.report(acc=0.5)
        while not katib.should_stop():
            time.sleep(0.02)
        (FOLDER / "saved").touch()
        raise SystemExit(3)
    """
    with running.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        trial = until(lambda: next((t for t in trials(client, study_id) if t.objective is not None), None))
        client.stop_trial(trial.id)
        ended = until(lambda: (t := client.get_trial(trial.id).trial).state.finished and t)
    assert (ended.state, ended.reason) == (TrialState.KILLED, TrialReason.STOPPED_BY_USER)
    assert (tmp_path / "saved").exists()


def test_children_that_were_forked_or_spawned_report_too(running: World, tmp_path: Path) -> None:
    text = """
        import multiprocessing, os, time, katib

        def work(value):
            katib.report(acc=value)

        if __name__ == "__main__":
            katib.report(acc=1)
            time.sleep(1)
            for method, value in (("fork", 2), ("spawn", 3)):
                child = multiprocessing.get_context(method).Process(target=work, args=(value,))
                child.start()
                child.join(30)
                assert child.exitcode == 0
    """
    with running.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        assert sorted(stored(client, trial.id)) == [("acc", 1, None), ("acc", 2, None), ("acc", 3, None)]


def test_a_program_is_not_hurt_by_anything_that_it_reports(running: World, tmp_path: Path) -> None:
    text = """
        import katib

        class Strange:
            def __float__(self): raise RuntimeError("no")
            def __repr__(self): raise RuntimeError("no")

        katib.report({"a b": 1, 3: 2, "": 1}, step="x", acc="high")
        katib.report(acc=Strange(), step=1.5)
        katib.report(acc=None, step=2**70)
        katib.report()
        katib.report(acc="0.25", step=2.0)
        print("the end")
    """
    with running.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        finished(client, study_id)
        (trial,) = trials(client, study_id)
        assert trial.state is TrialState.COMPLETED
        assert stored(client, trial.id) == [("3", 2, None), ("acc", 0.25, 2)]
        log = client.trial_log(trial.id).data.decode()
    assert "'a b' is no name of a metric" in log
    assert "the value of 'acc' is no number (Strange): no" in log
    assert log.endswith("the end\n")


def test_a_token_opens_its_own_attempt_and_dies_with_it(running: World, tmp_path: Path) -> None:
    text = """
        import os, sys, time
        attempt = os.environ["KATIB_ATTEMPT"]
        (FOLDER / f"token-{attempt}").write_text(os.environ["KATIB_TOKEN"])
        print("acc=0.5", flush=True)
        while not (FOLDER / f"go-{attempt}").exists():
            time.sleep(0.05)
        sys.exit(attempt == "1")
    """

    def report(trial_id: str, attempt: int, token: str) -> grpc.StatusCode:
        request = pb.ReportMetricsRequest(trial_id=trial_id, attempt=attempt, reporter="test")
        request.observations.add(name="loss", value=1, sequence=1)
        try:
            stub(running.address).ReportMetrics(request, timeout=10, metadata=bearer(token))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    with running.client() as client:
        study_id = client.create_study(program(tmp_path, text, limits={**ONE, "retry_limit": 1}))
        first = until(lambda: (p := tmp_path / "token-1").exists() and p.read_text())
        trial = until(lambda: next((t for t in trials(client, study_id) if t.objective is not None), None))
        assert report(trial.id, 1, first) is grpc.StatusCode.OK
        assert report(trial.id, 1, "made up") is grpc.StatusCode.PERMISSION_DENIED
        (tmp_path / "go-1").touch()
        second = until(lambda: (p := tmp_path / "token-2").exists() and p.read_text())
        assert second != first
        until(lambda: report(trial.id, 2, second) is grpc.StatusCode.OK)
        assert report(trial.id, 2, first) is grpc.StatusCode.PERMISSION_DENIED
        assert report(trial.id, 1, first) is grpc.StatusCode.FAILED_PRECONDITION
        (tmp_path / "go-2").touch()
        finished(client, study_id)
        assert report(trial.id, 2, second) is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.slow
def test_a_program_that_reports_more_than_can_be_sent_loses_nothing(katib: World, tmp_path: Path) -> None:
    text = """
        import time, katib
        begin = time.monotonic()
        for step in range(1, 150_001):
            katib.report(acc=step, step=step)
        print(f"took={time.monotonic() - begin}")
    """
    katib.local()
    with katib.client() as client:
        study_id = client.create_study(program(tmp_path, text))
        finished(client, study_id, 110)
        (trial,) = trials(client, study_id)
        # The latest value is the one that was reported last, whichever way it came.
        assert trial.objective == 150_000
        assert sorted(step for _, _, step in stored(client, trial.id)) == list(range(1, 150_001))


@pytest.mark.slow
def test_a_long_file_that_the_sdk_reads_is_stored_whole_and_its_last_value_counts(katib: World, tmp_path: Path) -> None:
    text = """
        with open("m.log", "w") as file:
            for step in range(1, 150_001):
                print(f"step={step} acc={step}", file=file)
    """
    spec = program(tmp_path, text)
    collector = MetricsCollector(source=MetricsSource.FILE, path="m.log", reader=MetricsReader.SDK)
    command = (sys.executable, "-m", "katib.sdk.collect", *spec.command)
    katib.local()
    with katib.client() as client:
        study_id = client.create_study(replace(spec, command=command, collector=collector))
        finished(client, study_id, 110)
        (trial,) = trials(client, study_id)
        assert (trial.state, trial.objective) == (TrialState.COMPLETED, 150_000)
        assert sorted(step for _, _, step in stored(client, trial.id)) == list(range(1, 150_001))
