"""Who has changed what, when, from where, and whether it was let: a line of JSON for each change that a caller asked for.

A line says what its call was about by an explicit list of fields, none of which holds anything secret; what could be a secret
in the wrong place, such as a token where its id belongs, is left out. Everything but ASCII is escaped, so that nothing that a
caller says begins a line of its own.
"""

import json
import logging
import os
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any, Final

import grpc

from katib.api.credentials import LOGIN_KEY, certificate_name
from katib.domain.caller import EVERYBODY, current_caller
from katib.domain.errors import InvalidArgumentError
from katib.domain.names import is_id
from katib.manager.auth.policy import POLICY
from katib.manager.seldom import Seldom

_log: Final = logging.getLogger(__name__)

STANDARD_OUTPUT: Final = "-"
# Where a client says that somebody logs in by this call, which is then noted too.
_LOGIN: Final = "WhoAmI"
# A file that was moved away, as by logrotate, is left for a new one within this time.
_LOOK_S: Final = 1.0
_SAY_S: Final = 60.0
_LONGEST: Final = 255
_MOST_LISTED: Final = 100
_IDS: Final = ("study_id", "trial_id", "token_id")
# By message, the further fields that are shown.
_SHOWN: Final = {
    "StudyConfig": ("name", "owner", "suggest_algorithm", "image"),
    "SuggestTrialsRequest": ("client_id", "count"),
    "CompleteTrialRequest": ("attempt", "is_complete"),
    "UpdateStudyRequest": (
        *("max_trials", "max_parallel", "max_failed_trials", "retry_limit", "optimization_goal", "paused"),
        *("trial_timeout", "max_duration"),
    ),
    "SaveStudyRequest": ("study_name", "owner"),
    "ModelInfo": ("study_name", "trial_id"),
    "CreateTokenRequest": ("name", "owner", "kind", "roles", "groups", "lifetime"),
}
_INSIDE: Final = ("study_config", "model", "next")


class AuditLog:
    """A `katib.api.answering.Audit`. Safe from any thread. What cannot be written is said in the manager's log; the call goes
    on."""

    def __init__(self, path: str, manager: str) -> None:
        """`path`: a file, which is made where there is none and only added to, or `-`. Raises InvalidArgumentError for one that
        cannot be written."""
        self._path = path
        self._manager = manager
        self._lock = threading.Lock()
        self._seldom = Seldom(_SAY_S)
        self._looked = 0.0
        # The last line broke off.
        self._broken = False
        try:
            self._file = self._open()
        except OSError as error:
            raise InvalidArgumentError.of(
                "--audit-log", path, f"expected a file that can be written ({error.strerror}), or -"
            ) from error

    def __call__(self, method: str, request: Any, context: grpc.ServicerContext, reply: Any, code: str) -> None:
        name = method.rpartition("/")[2]
        rule = POLICY.get(name)
        if rule is None or not (rule.changes or (name == _LOGIN and _logs_in(context))):
            return
        try:
            line = json.dumps(self._event(name, request, context, reply, code)) + "\n"
            with self._lock:
                self._write(line.encode())
        except Exception as error:  # noqa: BLE001 - whatever it is, the call was answered
            if self._seldom():
                _log.error("audit events are lost: %s cannot be written: %s", self._path, error)

    def close(self) -> None:
        with self._lock:
            os.close(self._file)

    def _event(
        self, name: str, request: Any, context: grpc.ServicerContext, reply: Any, code: str
    ) -> dict[str, object]:
        caller = current_caller()
        who: object = None
        if code != grpc.StatusCode.UNAUTHENTICATED.name and caller is not EVERYBODY:
            who = {"kind": caller.kind.value, "name": caller.name}
        certificate = certificate_name(context)
        return {
            "time": datetime.now(UTC).isoformat(timespec="microseconds"),
            "event": "Login" if name == _LOGIN else name,
            "result": code,
            "caller": who,
            "from": context.peer(),
            **({"certificate": certificate[:_LONGEST]} if certificate else {}),
            "manager": self._manager,
            "about": {**_about(request), **_outcome(reply)},
        }

    def _open(self) -> int:
        if self._path == STANDARD_OUTPUT:
            return os.dup(sys.__stdout__.fileno()) if sys.__stdout__ is not None else os.open(os.devnull, os.O_WRONLY)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _write(self, line: bytes) -> None:
        now = time.monotonic()
        if self._path != STANDARD_OUTPUT and now - self._looked >= _LOOK_S:
            self._looked = now
            if self._moved():
                file = self._open()
                os.close(self._file)
                self._file, self._broken = file, False
        if self._broken:
            line = b"\n" + line
        self._broken = True
        # In one piece, so that several managers may write to one file.
        written = os.write(self._file, line)
        while written < len(line):
            written += os.write(self._file, line[written:])
        self._broken = False

    def _moved(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(self._file))


def _logs_in(context: grpc.ServicerContext) -> bool:
    return any(key == LOGIN_KEY for key, _ in context.invocation_metadata())


def _about(message: Any) -> dict[str, object]:
    """What a request names."""
    if message is None:
        return {}
    shown: dict[str, object] = {}
    fields = {field.name: value for field, value in message.ListFields()}
    for name in _IDS:
        if name in fields:
            # What is no id may be anything: the secret of a token, for one.
            shown[name] = fields[name] if is_id(fields[name]) else None
    for name in _SHOWN.get(message.DESCRIPTOR.name, ()):
        if name in fields:
            shown[name] = _plain(fields[name])
    for name in _INSIDE:
        if name in fields:
            shown = {**_about(fields[name]), **shown}
    return shown


def _outcome(reply: Any) -> dict[str, object]:
    """What has come to be by the call."""
    if reply is None:
        return {}
    fields = {field.name: value for field, value in reply.ListFields()}
    shown: dict[str, object] = {}
    if isinstance(fields.get("study_id"), str):
        shown["study_id"] = fields["study_id"]
    if "secret" in fields:
        shown["token_id"] = fields["token"].token_id
    if "trials" in fields:
        shown["trial_ids"] = [trial.trial_id for trial in fields["trials"][:_MOST_LISTED]]
    if "next" in fields:
        shown |= _outcome(fields["next"])
    return shown


def _plain(value: Any) -> object:
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, bool | int | float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if hasattr(value, "ToJsonString"):
        return value.ToJsonString()
    return [str(item)[:_LONGEST] for item in value[:_MOST_LISTED]]
