"""What the program of a trial can do to a manager that asks who calls: report, and nothing else."""

import json
import sys
from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.client import ManagerClient
from katib.api.credentials import bearer
from katib.domain.study import StudyState
from katib.domain.trial import TrialState
from tests.e2e.harness import finished, stub, study, trials, until, world
from tests.ports import free_port

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_a_hostile_trial_can_report_its_own_metrics_and_nothing_else(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        it.suggestion("random")
        log = it.manager("--auth", "tokens", "--bootstrap-token-file", str(tmp_path / "first"))
        first = (tmp_path / "first").read_text().strip()
        with ManagerClient(it.address, 30, token=first) as administrator:
            secrets = {name: administrator.create_token(owner=name, roles=["user"])[1] for name in ("ann", "mallory")}
        with (
            ManagerClient(it.address, 30, token=secrets["ann"]) as ann,
            ManagerClient(it.address, 30, token=secrets["mallory"]) as mallory,
        ):
            victim = ann.create_study(study(script="echo acc=0.9; sleep 600", limits={"max_trials": 1}))
            (of_ann,) = until(lambda: [t for t in trials(ann, victim) if t.state is TrialState.RUNNING])
            out, passed_on = tmp_path / "out", tmp_path / "passed-on"
            program = ROOT / "tests" / "auth" / "hostile_trial.py"
            command = (
                "env",
                f"PYTHONPATH={ROOT}",
                sys.executable,
                str(program),
                str(out),
                victim,
                of_ann.id,
                str(passed_on),
            )
            study_id = mallory.create_study(
                study(command=command, limits={"max_trials": 1, "max_parallel": 1, "retry_limit": 1})
            )
            assert finished(mallory, study_id, 120).state is StudyState.COMPLETED, log.output
            done = json.loads(out.read_text())
            (trial,) = trials(mallory, study_id)

            allowed = {"own report", "own report of the current attempt", "whether to stop"}
            assert {what for what, code in done["tried"].items() if code == "OK"} == allowed
            # Its own attempt of before, which is over.
            over = "the earlier attempt's report by the earlier token"
            assert done["tried"][over] == "FAILED_PRECONDITION"
            assert {done["tried"][what] for what in done["tried"].keys() - allowed - {over}} == {
                "PERMISSION_DENIED",
                "UNAUTHENTICATED",
            }
            assert len(done["tried"]) > 150
            # It has changed nothing of the other's, and of its own the value that it may report.
            seen = ann.get_trial(of_ann.id)
            assert (seen.trial.state, [o.value for o in seen.observations]) == (TrialState.RUNNING, [0.9])
            assert {o.value for o in mallory.get_trial(trial.id).observations} == {0.5}
            with pytest.raises(grpc.RpcError) as refused:
                stub(it.address).ReportMetrics(
                    pb.ReportMetricsRequest(trial_id=trial.id, attempt=2), timeout=20, metadata=bearer(done["token"])
                )
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert done["token"] not in log.output
            assert all(secret not in log.output for secret in (first, *secrets.values()))


def test_the_port_of_the_trials_takes_no_report_without_its_attempts_token_even_where_nobody_is_asked(
    tmp_path: Path,
) -> None:
    with world(tmp_path) as it:
        it.suggestion("random")
        port = free_port()
        it.manager("--report-listen", f"localhost:{port}")
        told = tmp_path / "told"
        script = f'echo "$KATIB_SERVER $KATIB_TOKEN" >{told}.part && mv {told}.part {told}; sleep 600'
        with ManagerClient(it.address, 30) as client:
            study_id = client.create_study(study(script=script, limits={"max_trials": 1}))
            (trial,) = until(lambda: [t for t in trials(client, study_id) if t.state is TrialState.RUNNING])
            until(told.exists)
            address, token = told.read_text().split()
            assert address == f"localhost:{port}"

            def report(token: str, trial_id: str = trial.id, at: str = address, attempt: int = 0) -> str:
                request = pb.ReportMetricsRequest(trial_id=trial_id, attempt=attempt)
                try:
                    stub(at).ReportMetrics(request, timeout=20, metadata=bearer(token))
                except grpc.RpcError as refused:
                    return refused.code().name
                return "OK"

            assert [report(shown) for shown in ("", "katib_0_made-up", f"run_{trial.id}_1_{'x' * 43}")] == [
                "UNAUTHENTICATED"
            ] * 3
            assert report(token, trial_id="a000000000000000", attempt=1) == "PERMISSION_DENIED"
            assert report(token, attempt=2) == "PERMISSION_DENIED"
            assert report(token) == "OK"
            with pytest.raises(grpc.RpcError) as refused:
                stub(address).GetStudies(pb.GetStudiesRequest(), timeout=20, metadata=bearer(token))
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            # Programs of 0.1 report at the other one, as long as nobody is asked there.
            assert report("", at=it.address) == "OK"
            client.stop_study(study_id)


def test_the_sdk_reports_to_a_manager_that_asks_who_calls(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        it.suggestion("random")
        it.manager("--auth", "tokens", "--bootstrap-token-file", str(tmp_path / "first"))
        program = "import katib; katib.report(acc=0.25); katib.report(acc=0.75, step=2)"
        with ManagerClient(it.address, 30, token=(tmp_path / "first").read_text().strip()) as client:
            study_id = client.create_study(study(command=(sys.executable, "-c", program), limits={"max_trials": 1}))
            assert finished(client, study_id).state is StudyState.COMPLETED
            (trial,) = trials(client, study_id)
            seen = client.get_trial(trial.id).observations
            assert [o.value for o in seen] == [0.25, 0.75]
            # What is refused would be printed.
            assert client.trial_log(trial.id).data == b""
