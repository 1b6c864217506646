"""One call of ReportMetrics, and what became of it. The only module here that loads gRPC; it is loaded in the background."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

import grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.credentials import bearer
from katib.api.errors import retry_after_of
from katib.api.trial_converters import observation_to_proto
from katib.domain.metrics import Observation
from katib.sdk.environment import TrialEnvironment
from katib.sdk.outcome import Outcome

if TYPE_CHECKING:
    from katib.api.tls import ClientTls

_CALL_S: Final = 10.0
# Whoever answers there does not know this run: the address may be another Katib's.
_STRANGER: Final = frozenset(
    {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
)


class Sender:
    def __init__(self, environment: TrialEnvironment, reporter: str) -> None:
        self._environment: Final = environment
        self._reporter: Final = reporter
        self._metadata: Final = bearer(environment.token)
        self._tls: Final = _tls(environment.authorities)
        self._tls_version = 0
        self._current = 0
        self._channel: grpc.Channel | None = None
        self._stub: ManagerStub | None = None
        # What was said at last of a call that was not taken.
        self.trouble = ""

    def send(self, observations: Sequence[Observation], timeout: float = _CALL_S) -> Outcome:
        """At one of the managers; the next time at another one, when it does not answer. Sent twice, it is there once."""
        request = pb.ReportMetricsRequest(
            trial_id=self._environment.trial_id,
            attempt=self._environment.attempt,
            reporter=self._reporter,
            observations=[observation_to_proto(o) for o in observations],
        )
        try:
            reply = self._connected().ReportMetrics(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            code = error.code()
            self.trouble = f"{code.name}: {error.details()}"
            if code is grpc.StatusCode.FAILED_PRECONDITION:
                return Outcome.OVER
            if code in _STRANGER:
                return Outcome.STRANGER
            if code is grpc.StatusCode.INVALID_ARGUMENT:
                return Outcome.REFUSED
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                # Too often, for now; or more than is ever taken.
                return Outcome.REFUSED if retry_after_of(cast(grpc.Call, error)) is None else Outcome.LATER
            self.close()
            self._current += 1
            return Outcome.LATER
        return Outcome.STOP if reply.should_stop else Outcome.TAKEN

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = self._stub = None

    def _connected(self) -> ManagerStub:
        if self._tls is not None and self._tls.version != self._tls_version:
            self._tls_version = self._tls.version
            self.close()
        if self._stub is None:
            addresses = self._environment.addresses
            self._channel = open_channel(addresses[self._current % len(addresses)], tls=self._tls)
            self._stub = ManagerStub(self._channel)  # type: ignore[no-untyped-call]
        return self._stub


def _tls(authorities: str) -> "ClientTls | None":
    if not authorities:
        return None
    from katib.api.tls import client_tls

    return client_tls(authorities, options=("KATIB_TLS_CA", "", ""))
