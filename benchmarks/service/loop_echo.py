"""Three calls with Katib's messages, by gRPC's own stub."""

from collections.abc import Callable
from datetime import UTC, datetime

from benchmarks.service.work import METRICS
from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.trial_converters import observation_to_proto
from katib.domain.metrics import Observation


def connect(address: str) -> Callable[[str, str], Callable[[], None]]:
    stub = ManagerStub(open_channel(address))  # type: ignore[no-untyped-call]

    def make(study: str, name: str) -> Callable[[], None]:
        now = datetime.now(UTC)
        observations = [observation_to_proto(Observation(m, value, now, 1, "", 1)) for m, value in METRICS]

        def loop() -> None:
            reply = stub.SuggestTrials(pb.SuggestTrialsRequest(study_id=study, client_id=name, count=1), timeout=30)
            trial = reply.trials[0].trial_id
            stub.ReportMetrics(pb.ReportMetricsRequest(trial_id=trial, observations=observations), timeout=30)
            stub.CompleteTrial(pb.CompleteTrialRequest(study_id=study, trial_id=trial, is_complete=True), timeout=30)

        return loop

    return make
