"""A service that is a moment away is waited for; one that does not come is refused in time, over real sockets."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.client import ManagerClient
from katib.domain.errors import FailedPreconditionError, KatibError, UnavailableError
from katib.manager.service.patience import MAX_WAITING, PATIENCE_S
from tests.e2e.harness import World, stub, study, world

# What calls, processes and a machine under load may take beside the patience.
SLACK_S = 5.0


@pytest.fixture(scope="module")
def katib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A manager whose only service is `random`; further ones may come."""
    with world(tmp_path_factory.mktemp("patience")) as it:
        it.suggestion("random")
        it.manager()
        yield it


@pytest.fixture
def client(katib: World) -> Iterator[ManagerClient]:
    with katib.client() as it:
        yield it


@contextmanager
def coming(begin: Callable[[], object]) -> Iterator[None]:
    """Something that is begun when the manager has found nothing, several times."""
    timer = threading.Timer(0.5, begin)
    timer.start()
    try:
        yield
    finally:
        timer.join()


class Relay:
    """A TCP port that is refused until it is opened, and then leads to a Unix socket: what a Service is to a Pod."""

    def __init__(self, to: str) -> None:
        self._to = to
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def open(self) -> None:
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._to)
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        finally:
            b.close()


@pytest.mark.long
def test_a_study_is_created_when_its_service_comes_a_moment_later(katib: World, client: ManagerClient) -> None:
    # Python takes its time to start, which is not what is tested: the service serves already, at another name.
    with coming(lambda: Path(f"{katib.sockets}/s-later").symlink_to(f"{katib.sockets}/s-random")):
        begin = time.monotonic()
        study_id = client.create_study(study(algorithm="later", limits={"max_trials": 1}))
    assert 0.5 <= time.monotonic() - begin < PATIENCE_S + SLACK_S
    assert client.get_study(study_id).spec.algorithm == "later"


@pytest.mark.long
def test_suggestions_come_when_their_service_comes_a_moment_later(katib: World, client: ManagerClient) -> None:
    study_id = client.create_study(study(algorithm=""))
    with coming(lambda: Path(f"{katib.sockets}/s-soon").symlink_to(f"{katib.sockets}/s-random")):
        found, _ = client.suggest_trials(study_id, algorithm="soon")
    assert len(found) == 1


@pytest.mark.long
def test_a_port_that_was_refused_a_moment_ago_is_used(katib: World, tmp_path: Path) -> None:
    with closing(Relay(f"{katib.sockets}/s-random")) as relay:
        address = f"unix:{katib.sockets}/n"
        katib.manager("--suggestion-address", f"{{algorithm}}:{relay.port}", address=address, data=tmp_path)
        with ManagerClient(address) as client, coming(relay.open):
            # The host is the algorithm's name, and this one every machine has.
            study_id = client.create_study(study(algorithm="localhost", limits={"max_trials": 1}))
            assert client.get_study(study_id)


@pytest.mark.long
def test_who_does_not_come_is_named_with_what_was_done(client: ManagerClient) -> None:
    begin = time.monotonic()
    with pytest.raises(
        FailedPreconditionError,
        match=r"study_config.suggest_algorithm: 'absent': no service answers as suggestion-absent "
        r"\(nothing answers at unix:.*/s-absent, asked \d+ times in 2\.\d s\); start one under that name",
    ):
        client.create_study(study(algorithm="absent"))
    assert PATIENCE_S <= time.monotonic() - begin < PATIENCE_S + SLACK_S


@pytest.mark.long
def test_a_rule_that_does_not_come_is_waited_for_at_the_same_time(client: ManagerClient) -> None:
    begin = time.monotonic()
    with pytest.raises(
        FailedPreconditionError, match="early_stopping_algorithm: 'absent': no service answers as earlys"
    ):
        client.create_study(study(early_stopping="absent"))
    with pytest.raises(FailedPreconditionError, match="suggest_algorithm: 'absent'"):
        client.create_study(study(algorithm="absent", early_stopping="absent"))
    assert 2 * PATIENCE_S <= time.monotonic() - begin < 2 * PATIENCE_S + SLACK_S


@pytest.mark.long
def test_suggestions_of_a_service_that_does_not_come_are_refused_with_advice(client: ManagerClient) -> None:
    study_id = client.create_study(study(algorithm=""))
    with pytest.raises(UnavailableError, match=r"no service answers as suggestion-absent \(.* in 2\.\d s\); start one"):
        client.suggest_trials(study_id, algorithm="absent")
    meant = (
        r"no service answers as suggestion-hyperbnd \(.*\); did you mean 'hyperband'\? Else start one under that name"
    )
    with pytest.raises(UnavailableError, match=meant):
        client.suggest_trials(study_id, algorithm="hyperbnd")
    with pytest.raises(FailedPreconditionError, match="did you mean 'medianstopping'"):
        client.create_study(study(algorithm="", early_stopping="median"))


@pytest.mark.long
def test_a_caller_with_little_time_is_answered_within_it(katib: World) -> None:
    with (
        ManagerClient(katib.address, 1.5) as client,
        pytest.raises(FailedPreconditionError, match="no service answers"),
    ):
        client.create_study(study(algorithm="absent"))


@pytest.mark.long
def test_a_caller_that_names_no_deadline_is_answered_too(katib: World) -> None:
    request = pb.InitializeSuggestServiceRequest(study_id="a000000000000000", suggest_algorithm="absent")
    request.configs.name = "s"
    with pytest.raises(grpc.RpcError) as caught:
        stub(katib.address).InitializeSuggestService(request)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.long
def test_many_who_ask_for_a_service_that_does_not_exist_do_not_stop_the_others(client: ManagerClient) -> None:
    """Whoever waits has one of the server's threads."""

    def ask() -> float:
        begin = time.monotonic()
        with pytest.raises(KatibError):
            client.create_study(study(algorithm="absent"))
        return time.monotonic() - begin

    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(ask) for _ in range(40)]
        time.sleep(0.5)
        begin = time.monotonic()
        client.list_studies(page_size=1)
        took = time.monotonic() - begin
        waited = sorted(it.result() for it in asked)
    assert took < PATIENCE_S / 2
    assert 0 < len([s for s in waited if s >= PATIENCE_S]) <= 2 * MAX_WAITING
