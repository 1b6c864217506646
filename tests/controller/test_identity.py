"""Whether another manager's process has ended: known on the same host, and there only."""

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from katib.manager.identity import own_identity
from katib.manager.ports import ManagerRecord
from tests.e2e.harness import until


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    it = subprocess.Popen(["sleep", "600"])
    yield it
    it.kill()
    it.wait()


def record_of(process: "subprocess.Popen[bytes]") -> ManagerRecord:
    """As the process would have written it about itself."""
    with open(f"/proc/{process.pid}/stat") as file:
        started = file.read().rpartition(")")[2].split()[19]
    own = own_identity().record
    return replace(own, id="f" * 16, process=f"{process.pid}/{started}")


def test_a_manager_knows_itself_to_be_alive() -> None:
    identity = own_identity()
    assert identity.record.process.startswith(f"{os.getpid()}/")
    assert not identity.is_gone(identity.record)


def test_a_process_of_this_host_is_gone_when_it_has_ended(process: "subprocess.Popen[bytes]") -> None:
    other, is_gone = record_of(process), own_identity().is_gone
    assert not is_gone(other)
    process.send_signal(signal.SIGSTOP)
    assert not is_gone(other)
    process.kill()
    # Dead, though nobody has collected it yet.
    until(lambda: is_gone(other))
    process.wait()
    assert is_gone(other)


def test_a_number_that_is_another_process_by_now_is_not_the_manager(process: "subprocess.Popen[bytes]") -> None:
    assert own_identity().is_gone(replace(record_of(process), process=f"{process.pid}/1"))


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"process": ""}, {"process": "?/1"}])
def test_of_what_it_cannot_look_at_nothing_is_said(process: "subprocess.Popen[bytes]", changes: dict[str, str]) -> None:
    other = replace(record_of(process), **changes)  # type: ignore[arg-type]
    process.kill()
    process.wait()
    assert not own_identity().is_gone(other)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOMEM])
def test_a_process_that_lives_is_not_gone_because_it_cannot_be_looked_at(
    process: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """No file descriptor is left, or /proc is mounted so that it hides the processes of other users."""
    other, is_gone = record_of(process), own_identity().is_gone
    assert not is_gone(other)
    read_text = Path.read_text

    def refused(path: Path, *arguments: Any, **named: Any) -> str:
        if str(path).startswith("/proc/"):
            raise OSError(number, os.strerror(number), str(path))
        return read_text(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", refused)
    assert not is_gone(other)
    process.kill()
    process.wait()
    assert is_gone(other)


def test_a_manager_without_file_descriptors_holds_nobody_for_gone(process: "subprocess.Popen[bytes]") -> None:
    other, is_gone = record_of(process), own_identity().is_gone
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        gone = is_gone(other)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not gone
