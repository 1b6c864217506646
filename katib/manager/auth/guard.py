"""What stands before every call: who is it, and may it? The rest, which takes more than an id, is the use cases'."""

import threading
from typing import Any, Final

import grpc

from katib.api.credentials import bearer_token, certificate_name
from katib.domain.caller import ACTIVE, Caller, CallerKind, enter_caller
from katib.domain.errors import PermissionDeniedError, UnauthenticatedError, UnavailableError
from katib.domain.names import is_id, run_name
from katib.manager.auth.authenticator import Authenticator
from katib.manager.auth.policy import POLICY, About, Rule
from katib.manager.service.permissions import StudyAccess

# How often those who listen to a stream are asked again who they are.
_LOOK_S: Final = 5.0


class Guard:
    """A `katib.api.answering.Guard`."""

    def __init__(self, authenticator: Authenticator, access: StudyAccess) -> None:
        self._authenticator = authenticator
        self._access = access
        self._streams = _Streams(authenticator)

    def __call__(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        name = method.rpartition("/")[2]
        rule = POLICY[name]
        token, subject = bearer_token(context), certificate_name(context)
        caller = self._authenticator.caller(token, subject)
        # Before it is known whether it may: the audit log names it in either case.
        enter_caller(caller)
        check(name, rule, caller, request, self._access)
        if name == "WatchStudy":
            self._streams.add(context, token, subject)

    def close(self) -> None:
        self._streams.close()


def check(name: str, rule: Rule, caller: Caller, request: Any, access: StudyAccess) -> None:
    """Raises PermissionDeniedError, or NotFoundError for what the caller may not know of."""
    if caller.kind is CallerKind.TRIAL:
        _check_trial(name, rule, caller, request)
        return
    if caller.unrestricted:
        return
    if rule.active and not caller.roles & ACTIVE:
        raise PermissionDeniedError(
            f"{name} is not for a token that only reads: use one with the role user or operator"
        )
    study_id = request.study_id if rule.about in (About.STUDY, About.STUDY_OR_ALL) else ""
    # What cannot be an id is refused as such by the use case, where it looks at it at all.
    study_id = study_id if is_id(study_id) else ""
    if rule.role is not None and rule.role not in caller.roles and not study_id:
        raise PermissionDeniedError(
            f"{name} takes the role {rule.role.value}, which {caller.name} does not have: use a token that has it, "
            "or ask an administrator for one (katib-cli create-token)"
        )
    if study_id:
        access.require_study(caller, study_id, rule.needs)
    elif rule.about is About.TRIAL and is_id(request.trial_id):
        access.require_trial(caller, request.trial_id, rule.needs)


def _check_trial(name: str, rule: Rule, caller: Caller, request: Any) -> None:
    if not rule.trial:
        raise PermissionDeniedError(
            f"{name} is not for the program of a trial: its token is good for its own ReportMetrics alone"
        )
    # Attempt 0, the current one, is for the use case to compare, which knows it.
    if request.attempt and run_name(request.trial_id, request.attempt) != caller.name:
        raise PermissionDeniedError(f"the token is not that of attempt {request.attempt} of trial {request.trial_id}")


class _Streams:
    """Ends the streams of those who are nobody any more: a call is asked who it is when it begins, and a stream goes on."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._lock = threading.Lock()
        self._open: dict[int, tuple[grpc.ServicerContext, str, str]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, context: grpc.ServicerContext, token: str, subject: str) -> None:
        key = id(context)
        with self._lock:
            self._open[key] = context, token, subject
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="streams-callers", daemon=True)
                self._thread.start()
        if not context.add_callback(lambda: self._remove(key)):
            self._remove(key)

    def close(self) -> None:
        self._closed.set()

    def _remove(self, key: int) -> None:
        with self._lock:
            self._open.pop(key, None)

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_S):
            with self._lock:
                streams = list(self._open.values())
            for context, token, subject in streams:
                try:
                    self._authenticator.caller(token, subject)
                except UnauthenticatedError:
                    context.cancel()
                except UnavailableError:
                    pass  # who it is cannot be asked now, and will be the next time
