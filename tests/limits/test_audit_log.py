"""Each change leaves one line in the audit log, tried or made, and nothing that only reads leaves any."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.credentials import bearer
from katib.domain.errors import InvalidArgumentError, UnauthenticatedError
from katib.domain.metrics import Observation
from katib.domain.tokens import PREFIX
from katib.manager.audit import AuditLog
from katib.manager.auth.policy import POLICY
from tests.auth.conftest import Guarded
from tests.auth.test_policy import requests
from tests.e2e.harness import study, until
from tests.limits.conftest import Limited


class Log:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def new(self) -> list[dict[str, Any]]:
        """The events since the last look."""
        lines = self.path.read_text(encoding="ascii").splitlines()
        found, self._read = lines[self._read :], len(lines)
        return [json.loads(line) for line in found]


@pytest.fixture
def audited(limited: Limited, tmp_path: Path) -> tuple[Guarded, Log]:
    path = tmp_path / "audit.jsonl"
    it = limited(audit_log=str(path))
    it.token("ann", "user")
    it.token("stranger", "user")
    return it, Log(path)


def call(it: Guarded, name: str, request: Any, token: str) -> str:
    """Its code."""
    with open_channel(it.world.address) as channel:
        try:
            reply = getattr(ManagerStub(channel), name)(request, timeout=60, metadata=bearer(token))
            if name == "WatchStudy":
                next(reply)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def scene(it: Guarded) -> tuple[str, str]:
    with it.client("ann") as client:
        study_id = client.create_study(study(algorithm=""))
        (trial,), _ = client.suggest_trials(study_id, 1, "c")
    return study_id, trial.id


@pytest.mark.long
@pytest.mark.parametrize("caller", ["ann", "stranger", ""])
def test_each_call_that_changes_leaves_one_event_and_each_other_none(audited: tuple[Guarded, Log], caller: str) -> None:
    it, log = audited
    study_id, trial_id = scene(it)
    assert [event["event"] for event in log.new()] == ["CreateToken", "CreateToken", "CreateStudy", "SuggestTrials"]
    wrong = []
    for name, rule in POLICY.items():
        code = call(it, name, requests(study_id, trial_id, caller)[name], it.secrets[caller])
        events = log.new()
        want = [(name, code)] if rule.changes else []
        if [(event["event"], event["result"]) for event in events] != want:
            wrong.append((name, code, events))
        for event in events:
            expected = {"kind": "user", "name": caller} if caller else None
            if event["caller"] != expected or not event["from"].startswith("unix:") or not event["time"]:
                wrong.append((name, code, events))
        if name == "DeleteStudy" and code == "OK":
            study_id, trial_id = scene(it)
            log.new()
    assert wrong == []


def test_every_call_that_is_not_known_to_read_only_is_known_to_change() -> None:
    reads = ("Get", "List", "Watch", "WhoAmI", "EarlyStopping", "InitializeSuggestService", "AddMeasurementToTrials")
    other = {name for name, rule in POLICY.items() if not rule.changes and not name.startswith(reads)}
    assert other == {"ReportMetrics"}


@pytest.mark.long
def test_an_event_says_what_the_call_was_about(audited: tuple[Guarded, Log]) -> None:
    it, log = audited
    study_id, trial_id = scene(it)
    *_, created, suggested = log.new()
    assert (created["about"]["name"], created["about"]["study_id"]) == ("s", study_id)
    assert suggested["about"] == {"study_id": study_id, "client_id": "c", "count": 1, "trial_ids": [trial_id]}
    with it.client("ann") as client:
        client.update_study(study_id, goal=float("inf"))
        token, secret = client.create_token("laptop", roles=["user"])
        client.revoke_token(token.id)
        client.report_metrics(trial_id, [Observation("acc", 0.5, datetime.now(UTC), 1, "", 1)])
        given = client.complete_and_ask(study_id, trial_id, 1, (), "", "me")
        assert given is not None
    updated, made, revoked, completed = log.new()
    assert updated["about"] == {"study_id": study_id, "optimization_goal": "inf"}
    assert made["about"] == {"name": "laptop", "roles": ["user"], "token_id": token.id}
    assert revoked["about"] == {"token_id": token.id}
    assert completed["about"] == {
        "study_id": study_id,
        "trial_id": trial_id,
        "attempt": 1,
        "is_complete": True,
        "client_id": "me",
        "count": 1,
        "trial_ids": [t.id for t in given[0]],
    }
    assert secret.removeprefix(PREFIX)[17:] not in log.path.read_text()


@pytest.mark.long
def test_logins_are_events_good_and_bad_and_other_questions_who_one_is_are_not(audited: tuple[Guarded, Log]) -> None:
    it, log = audited
    log.new()
    with it.client("ann") as client:
        client.who_am_i()
        client.who_am_i(login=True)
        bad = client.with_token(f"{PREFIX}a000000000000000_{'x' * 43}")
        with pytest.raises(UnauthenticatedError):
            bad.who_am_i(login=True)
    good, refused = log.new()
    assert (good["event"], good["result"], good["caller"]["name"]) == ("Login", "OK", "ann")
    assert (refused["event"], refused["result"], refused["caller"]) == ("Login", "UNAUTHENTICATED", None)


@pytest.mark.long
def test_nothing_that_a_caller_says_begins_a_line_and_no_secret_is_kept_where_an_id_belongs(
    audited: tuple[Guarded, Log],
) -> None:
    it, log = audited
    log.new()
    evil = 'x"}\n{"event": "Forged"}\r\u2028\x1b[31m\udcff'.encode(errors="replace").decode()
    with it.client("ann") as client:
        with pytest.raises(InvalidArgumentError):
            client.create_study(study(name=evil, algorithm=""))
        with pytest.raises(InvalidArgumentError):
            client.revoke_token(it.secrets["stranger"])
        with pytest.raises(InvalidArgumentError):
            client.create_token(evil, "stranger")
    named, secret, token = log.new()
    assert named["about"]["name"] == token["about"]["name"] == evil
    assert secret["about"] == {"token_id": None}
    assert it.secrets["stranger"] not in log.path.read_text()
    assert log.path.read_bytes().isascii()


@pytest.mark.long
def test_a_request_that_is_none_leaves_an_event_without_a_subject(audited: tuple[Guarded, Log]) -> None:
    it, log = audited
    log.new()
    with open_channel(it.world.address) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/api.Manager/StopStudy")(b"\xff", timeout=60, metadata=bearer(it.secrets["ann"]))
    (event,) = log.new()
    assert (event["event"], event["result"], event["about"]) == ("StopStudy", "INVALID_ARGUMENT", {})


class _Context:
    def peer(self) -> str:
        return "unix:"

    def auth_context(self) -> dict[str, object]:
        return {}

    def invocation_metadata(self) -> tuple[()]:
        return ()


def note(log: AuditLog) -> None:
    log("/api.Manager/StopStudy", pb.StopStudyRequest(), _Context(), pb.StopStudyReply(), "OK")  # type: ignore[arg-type]


@pytest.mark.long
def test_a_file_that_was_moved_away_is_left_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    log = AuditLog(str(path), "m")
    note(log)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.rename(tmp_path / "audit.1")

    def again() -> bool:
        note(log)
        return path.exists()

    until(again, 30)
    events = [*path.read_text().splitlines(), *(tmp_path / "audit.1").read_text().splitlines()]
    assert all(json.loads(line)["event"] == "StopStudy" for line in events)
    log.close()


def test_a_line_that_broke_off_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit"
    log = AuditLog(str(path), "m")
    real = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 20:
            return real(file, data)
        real(file, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    note(log)
    monkeypatch.setattr("os.write", real)
    note(log)
    broken, whole = path.read_text().splitlines()
    assert len(broken) == 10
    assert json.loads(whole)["event"] == "StopStudy"
    log.close()


def test_a_file_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"--audit-log: .*expected a file that can be written"):
        AuditLog(str(tmp_path), "m")


@pytest.mark.long
def test_on_standard_output_there_is_nothing_else() -> None:
    script = "from tests.limits.test_audit_log import *; log = AuditLog('-', 'm'); note(log); note(log); log.close()"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert [json.loads(line)["event"] for line in ended.stdout.splitlines()] == ["StopStudy", "StopStudy"]
