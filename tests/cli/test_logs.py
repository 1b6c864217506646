"""What a trial printed: whole, followed over attempts and restarts of the manager, and harmless on a terminal."""

import os
import pty
import subprocess

import pytest

from katib.api import api_pb2 as pb
from katib.api.client import ManagerClient
from katib.cli import logs, patience
from katib.cli.logs import follow_output, output
from katib.domain.errors import KatibError, NotFoundError, UnavailableError
from katib.domain.trial import TrialState
from tests.cli.conftest import PROGRAM, Cli
from tests.cli.scripted import ScriptedManager, study, trial

ID = trial(1).id


def test_what_a_trial_printed_is_found_by_its_study_and_its_number(cli: Cli, manager: ScriptedManager) -> None:
    manager.add(study())
    manager.trials = [trial(1), trial(2)]
    manager.output = printed(b"epoch 1\n")
    assert cli("logs", "digits", "2").out == "epoch 1\n"


def printed(data: bytes, finished: bool = True) -> "Printed":
    return Printed({1: data}, finished)


class Printed:
    """The output of each attempt, in pieces of a few bytes."""

    def __init__(self, attempts: dict[int, bytes], finished: bool, piece: int = 250_000) -> None:
        self.attempts = attempts
        self.finished = finished
        self.piece = piece

    def __call__(self, attempt: int, offset: int) -> pb.GetTrialLogReply:
        data = self.attempts[attempt or max(self.attempts)]
        offset = max(len(data) + offset, 0) if offset < 0 else offset
        piece = data[offset : offset + self.piece]
        end = offset + len(piece)
        return pb.GetTrialLogReply(data=piece, next_offset=end, finished=self.finished and end == len(data))


@pytest.mark.long
def test_a_pipe_gets_the_bytes_as_they_are(server: str, manager: ScriptedManager) -> None:
    manager.trials = [trial(1)]
    data = b"a\x1b[31m\r\n\xff\0" * 100_000
    manager.output = printed(data, finished=False)
    done = subprocess.run([str(PROGRAM), "-s", server, "logs", ID], capture_output=True, timeout=60, check=True)
    assert done.stdout == data


def test_only_the_end_is_shown_on_request(server: str, manager: ScriptedManager) -> None:
    manager.trials = [trial(1)]
    manager.output = printed(b"0123456789")
    command = [str(PROGRAM), "-s", server, "logs", ID, "--tail", "4"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=True).stdout == b"6789"


def on_terminal(command: list[str], timeout: float = 60) -> tuple[int, str]:
    """Runs a command with its output on a terminal; returns its exit code and what it wrote there."""
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.STDOUT) as process:
        os.close(follower)
        written = bytearray()
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # nobody holds the other end any more
                break
            if not piece:
                break
            written += piece
        code = process.wait(timeout)
    os.close(leader)
    return code, written.decode()


def test_a_terminal_gets_nothing_that_it_obeys(server: str, manager: ScriptedManager) -> None:
    manager.trials = [trial(1)]
    manager.output = printed("é\x1b]0;owned\x07\x9b\r10%\r20%\n".encode())
    code, text = on_terminal([str(PROGRAM), "-s", server, "logs", ID])
    assert (code, text) == (0, "é\\x1b]0;owned\\x07\\x9b\r\n10%\r\n20%\r\n")


def test_the_head_of_a_long_log_ends_quietly(server: str, manager: ScriptedManager) -> None:
    manager.trials = [trial(1)]
    manager.output = printed(b"line\n" * 1_000_000)
    with subprocess.Popen(
        [str(PROGRAM), "-s", server, "logs", ID], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_POLL_S", 0.01)
    monkeypatch.setattr(patience, "_PAUSE_S", 0.01)


@pytest.mark.usefixtures("impatient")
def test_following_goes_on_with_the_next_attempt_and_ends_with_the_trial(
    server: str, manager: ScriptedManager, capsys: pytest.CaptureFixture[str]
) -> None:
    first, retried, done = trial(1), trial(1, attempt=2), trial(1, attempt=2, state=TrialState.COMPLETED)
    manager.trials = [first]
    manager.output = Printed({1: b"first try ", 2: b"second try"}, finished=True, piece=4)
    with ManagerClient(server) as client:
        pieces = follow_output(client, ID, None, 0)
        seen = b"".join(next(pieces) for _ in range(3))
        manager.trials = [retried]
        seen += b"".join(next(pieces) for _ in range(3))
        manager.trials = [done]
        seen += b"".join(pieces)
    assert seen == b"first try second try"
    assert capsys.readouterr().err == "Attempt 2 begins.\n"


@pytest.mark.usefixtures("impatient")
def test_following_one_attempt_ends_with_it(server: str, manager: ScriptedManager) -> None:
    manager.trials = [trial(1, attempt=2)]
    manager.output = Printed({1: b"first", 2: b"second"}, finished=True)
    with ManagerClient(server) as client:
        assert b"".join(follow_output(client, ID, 1, 0)) == b"first"


@pytest.mark.usefixtures("impatient")
def test_following_outlives_a_manager_that_goes_away(
    server: str, manager: ScriptedManager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.trials = [trial(1, state=TrialState.COMPLETED)]
    script: list[pb.GetTrialLogReply | KatibError] = [
        pb.GetTrialLogReply(data=b"one ", next_offset=4),
        UnavailableError("the manager is stopping"),
        UnavailableError("the manager is stopping"),
        pb.GetTrialLogReply(next_offset=4),
        pb.GetTrialLogReply(data=b"two", next_offset=7),
        pb.GetTrialLogReply(next_offset=7, finished=True),
    ]

    def step(attempt: int, offset: int) -> pb.GetTrialLogReply:
        reply = script.pop(0)
        if isinstance(reply, KatibError):
            raise reply
        return reply

    manager.output = step
    with ManagerClient(server) as client:
        assert b"".join(follow_output(client, ID, None, 0)) == b"one two"
    assert capsys.readouterr().err == "Connection lost (the manager is stopping); trying again for 10 minutes.\n"


def test_a_manager_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE_S", 0.0)
    monkeypatch.setattr(patience, "AWAY_S", 0.0)
    said: list[str] = []
    waiting = patience.Patience(said.append)
    waiting.wait(UnavailableError("away"))
    with pytest.raises(UnavailableError, match="away"):
        waiting.wait(UnavailableError("away"))
    waiting.renew()
    waiting.wait(UnavailableError("away again"))
    assert len(said) == 2


def test_a_trial_without_output_prints_nothing(cli: Cli, manager: ScriptedManager) -> None:
    manager.trials = [trial(1)]
    assert (cli("logs", ID).code, cli("logs", ID).out) == (0, "")


def test_the_output_of_an_unknown_trial_is_one_sentence(cli: Cli, manager: ScriptedManager) -> None:
    def missing(attempt: int, offset: int) -> pb.GetTrialLogReply:
        raise NotFoundError(f"there is no trial {ID}")

    manager.output = missing
    assert (cli("logs", ID).code, cli("logs", ID).err) == (3, f"Error: there is no trial {ID}\n")


def test_the_present_end_of_a_trial_that_runs_ends_the_output(server: str, manager: ScriptedManager) -> None:
    manager.trials = [trial(1)]
    manager.output = printed(b"so far", finished=False)
    with ManagerClient(server) as client:
        assert list(output(client, ID, 0, 0)) == [b"so far"]
