"""Services that answer only the managers with their token."""

from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import SuggestionStub
from katib.api.channel import open_channel
from katib.api.credentials import bearer
from katib.domain.errors import FailedPreconditionError
from katib.domain.study import StudyState
from tests.e2e.harness import finished, study, world

TOKEN = "0123456789abcdef" * 3


@pytest.mark.long
@pytest.mark.parametrize("shows", ["none", "another", "the right one"])
def test_a_study_runs_where_manager_and_services_share_a_token(tmp_path: Path, shows: str) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "another").write_text(TOKEN[::-1])
    with world(tmp_path) as it:
        it.environment["KATIB_SERVICE_TOKEN_FILE"] = str(tmp_path / "token")
        it.suggestion("random")
        it.earlystopping("medianstopping")
        if shows == "none":
            del it.environment["KATIB_SERVICE_TOKEN_FILE"]
        elif shows == "another":
            it.environment["KATIB_SERVICE_TOKEN_FILE"] = str(tmp_path / "another")
        it.manager()
        with it.client() as client:
            spec = study(early_stopping="medianstopping", limits={"max_trials": 3})
            if shows == "the right one":
                assert finished(client, client.create_study(spec)).state is StudyState.COMPLETED
                assert all(s.serving for s in client.list_algorithms() if s.name in ("random", "medianstopping"))
            else:
                with pytest.raises(
                    FailedPreconditionError, match="start the manager with the same --service-token-file"
                ):
                    client.create_study(spec)
        with open_channel(f"unix:{it.sockets}/s-random") as channel, pytest.raises(grpc.RpcError) as refused:
            SuggestionStub(channel).GenerateTrials(pb.GenerateTrialsRequest(), timeout=20, metadata=bearer(TOKEN[:-1]))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert not any(TOKEN in process.output for process in it.processes)


def test_a_token_that_cannot_be_used_ends_a_service_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short")
    with world(tmp_path) as it:
        service = it.start("katib-suggestion", "random", "--service-token-file", str(tmp_path / "token"))
        assert service.popen.wait(60) == 1
        assert "--service-token-file" in service.output
        assert "has 5 characters" in service.output
