"""Hostile calls over real gRPC, to processes of their own."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from katib.api import api_pb2 as pb
from katib.api.channel import open_channel
from katib.api.errors import TIMED_OUT_HERE, said_by_grpc
from tests.fuzz.inputs import Hints, data, disturbed, generated, mutated, text
from tests.fuzz.surface import BrokenError

# What may answer a call that nobody honest makes. UNAVAILABLE: a service that is not there, if the server itself says so.
ALLOWED: Final = frozenset(
    {
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "ABORTED",
        "UNIMPLEMENTED",
        "UNAVAILABLE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "RESOURCE_EXHAUSTED",
    }
)
_TIMEOUT_S: Final = 30.0
# A stream goes on until somebody has enough of it.
_STREAM_S: Final = 0.2


class Caller:
    """Makes hostile calls of a service's methods. `honest` gives, by method, messages that would be accepted."""

    def __init__(
        self,
        service: str,
        address: str,
        hints: Callable[[], Hints],
        honest: Mapping[str, Callable[[Random], Sequence[Message]]],
        scale: Mapping[str, int] | None = None,
    ) -> None:
        """`scale`: how often a method is called, where not as often as any other."""
        descriptor = pb.DESCRIPTOR.services_by_name[service]
        self._methods = {m.name: m for m in descriptor.methods}
        self._often = [m for m in self._methods for _ in range((scale or {}).get(m, 4))]
        self._service = service
        self._channel = open_channel(address)
        self._hints = hints
        self._honest = honest

    def close(self) -> None:
        self._channel.close()

    def put(self, rnd: Random) -> str:
        name = rnd.choice(self._often)
        method = self._methods[name]
        request = GetMessageClass(method.input_type)()
        good = list(self._honest[name](rnd)) if name in self._honest else []
        match rnd.randrange(10):
            case 0 | 1 | 2 | 3 if good:
                raw = _bytes(disturbed(rnd, rnd.choice(good), self._hints()))
            case 4 | 5 if good:
                raw = mutated(rnd, _bytes(rnd.choice(good)))
            case 6:
                raw = data(rnd)
            case _:
                raw = _bytes(generated(rnd, request, self._hints()))
        return self.call(name, raw, _metadata(rnd))

    def call(self, name: str, raw: bytes, metadata: Sequence[tuple[str, str | bytes]] = ()) -> str:
        method = self._methods[name]
        path = f"/api.{self._service}/{name}"
        try:
            if method.server_streaming:
                stream = self._channel.unary_stream(path)(raw, timeout=_STREAM_S, metadata=metadata)
                for _ in zip(range(3), stream, strict=False):
                    pass
                stream.cancel()
            else:
                self._channel.unary_unary(path)(raw, timeout=_TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            return self._judged(method.server_streaming, name, raw, error)
        return "OK"

    def _judged(self, stream: bool, name: str, raw: bytes, error: Any) -> str:
        code, details = error.code().name, error.details() or ""
        if stream and details == TIMED_OUT_HERE:
            return "OK"
        if code == "DEADLINE_EXCEEDED" and details != TIMED_OUT_HERE:
            return code
        if code not in ALLOWED or said_by_grpc(details) or not details:
            raise BrokenError(f"{name} answers {code} {details!r:.500} to {raw!r:.1500}")
        return str(code)


def _bytes(message: Message) -> bytes:
    try:
        return message.SerializeToString()
    except ValueError:
        return b""


def _metadata(rnd: Random) -> list[tuple[str, str | bytes]]:
    """What gRPC lets a client send: the values of others than `-bin` are visible ASCII."""
    if rnd.random() < 0.8:
        return []
    visible = "".join(c for c in text(rnd) if " " <= c <= "~").strip()[:3000]
    return [
        rnd.choice(
            (
                ("authorization", visible),
                ("authorization", f"Bearer {visible}"),
                ("authorization", "Bearer"),
                ("katib-error-bin", data(rnd)[:2000]),
                ("x-anything", visible),
                ("grpc-accept-encoding", visible),
                ("x-bin", data(rnd)[:2000]),
            )
        )
    ]


def config(rnd: Random, algorithm: str = "random", rule: str = "") -> pb.StudyConfig:
    """A study that would be accepted."""
    result = pb.StudyConfig(
        name=f"fuzz {rnd.randrange(50)}",
        owner="somebody",
        optimization_type=rnd.choice((pb.MINIMIZE, pb.MAXIMIZE)),
        suggest_algorithm=algorithm,
        early_stopping_algorithm=rule,
        objective_value_name="loss",
        metrics=["accuracy"],
        tags=[pb.Tag(name="team", value="a")],
        access_permissions=["somebody"],
        command=["true"],
        max_trials=2,
        max_parallel=1,
        retry_limit=0,
        max_failed_trials=1,
        pod=pb.PodConfig(labels={"a": "b"}, environment={"A": "b"}, requests={"cpu": "1"}),
        keep_models="best:1",
    )
    result.trial_timeout.seconds = 60
    configs = result.parameter_configs.configs
    configs.add(name="--lr", parameter_type=pb.DOUBLE, feasible=pb.FeasibleSpace(min="0.001", max="1", scale=pb.LOG))
    configs.add(name="--layers", parameter_type=pb.INT, feasible=pb.FeasibleSpace(min="1", max="9", step="2"))
    configs.add(name="batch", parameter_type=pb.DISCRETE, feasible=pb.FeasibleSpace(list=["16", "32"]))
    configs.add(name="optimizer", parameter_type=pb.CATEGORICAL, feasible=pb.FeasibleSpace(list=["sgd", "adam"]))
    return result


def trial(rnd: Random, number: int, study_id: str = "", values: int = 5) -> pb.Trial:
    """One of `config`'s."""
    found = pb.Trial(
        trial_id=f"a{rnd.randrange(2**60):015x}",
        study_id=study_id,
        number=number,
        attempt=1,
        status=rnd.choice((pb.RUNNING, pb.COMPLETED, pb.KILLED, pb.ERROR)),
        objective_value=rnd.choice(("0.5", "nan", "", str(rnd.random()))),
        parameter_set=[
            pb.Parameter(name="--lr", parameter_type=pb.DOUBLE, value=repr(rnd.uniform(0.001, 1))),
            pb.Parameter(name="--layers", parameter_type=pb.INT, value=str(rnd.randrange(1, 9, 2))),
            pb.Parameter(name="batch", parameter_type=pb.DISCRETE, value=rnd.choice(("16", "32"))),
            pb.Parameter(name="optimizer", parameter_type=pb.CATEGORICAL, value=rnd.choice(("sgd", "adam"))),
        ],
    )
    for i in range(values):
        found.eval_logs.add(time="2026-01-01T00:00:00+00:00", metrics=[pb.Metrics(name="loss", value=str(1 / (i + 1)))])
    return found
