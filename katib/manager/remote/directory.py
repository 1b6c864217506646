"""Which suggestion and early-stopping services there are, and whether they answer."""

import glob
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from grpc_health.v1 import health_pb2, health_pb2_grpc

from katib.domain.errors import KatibError, UnimplementedError
from katib.domain.names import is_service_name
from katib.domain.views import ServiceKind, ServiceStatus
from katib.manager.remote import calls
from katib.manager.remote.addresses import PLACEHOLDER, AddressTemplate, Channels

_GROUPS: Final = {ServiceKind.SUGGESTION: "katib.suggestions", ServiceKind.EARLY_STOPPING: "katib.earlystopping"}
_PROBE_S: Final = 1.0
_ASLEEP: Final = "it starts when a study first names it"


class RemoteDirectory:
    """Names come from the distribution, from stored studies and, with Unix sockets, from the folder; each is asked."""

    def __init__(self, suggestion: AddressTemplate, earlystopping: AddressTemplate, channels: Channels) -> None:
        self._templates = {ServiceKind.SUGGESTION: suggestion, ServiceKind.EARLY_STOPPING: earlystopping}
        self._channels = channels

    def services(self, algorithms: frozenset[str], rules: frozenset[str]) -> Sequence[ServiceStatus]:
        known = {
            ServiceKind.SUGGESTION: algorithms | _installed(ServiceKind.SUGGESTION),
            ServiceKind.EARLY_STOPPING: rules | _installed(ServiceKind.EARLY_STOPPING),
        }
        found: list[ServiceStatus] = []
        probes: list[tuple[str, ServiceKind, str, Future[bool]]] = []
        for kind, names in known.items():
            template = self._templates[kind]
            for name in sorted(filter(is_service_name, names | set(_listed(template)))):
                address = template.address("name", name)
                if self._channels.asleep(address):
                    found.append(ServiceStatus(name, kind, address, serving=True, message=_ASLEEP))
                else:
                    probes.append((name, kind, address, self._probe(address, name)))
        wait([probe for *_, probe in probes], _PROBE_S * 3)
        found += [_status(*probe) for probe in probes]
        return sorted(found, key=lambda s: (list(known).index(s.kind), s.name))

    def names(self, kind: ServiceKind) -> frozenset[str]:
        return _installed(kind) | set(_listed(self._templates[kind]))

    def _probe(self, address: str, name: str) -> "Future[bool]":
        return calls.start(
            self._channels,
            address,
            lambda line: line.stub(health_pb2_grpc.HealthStub).Check.future(
                health_pb2.HealthCheckRequest(), timeout=_PROBE_S
            ),
            lambda reply: reply.status == health_pb2.HealthCheckResponse.SERVING,
            name,
        )


def _installed(kind: ServiceKind) -> frozenset[str]:
    """What the distribution brings, and so what a cluster has that was installed from it; and what was installed beside it,
    by now."""
    return frozenset(entry.name for entry in entry_points(group=_GROUPS[kind]))


def _status(name: str, kind: ServiceKind, address: str, probe: "Future[bool]") -> ServiceStatus:
    if not probe.done():
        return ServiceStatus(name, kind, address, serving=False, message="no answer in time")
    try:
        serving = probe.result()
    except UnimplementedError:
        # Services of 0.1 have no health check; that they say so shows that they are there.
        return ServiceStatus(name, kind, address, serving=True)
    except KatibError as error:
        return ServiceStatus(name, kind, address, serving=False, message=error.message)
    return ServiceStatus(name, kind, address, serving, "" if serving else "it starts or ends just now")


def _listed(template: AddressTemplate) -> Iterable[str]:
    """The names that have a socket in the template's folder."""
    if not template.text.startswith("unix:"):
        return
    pattern = Path(template.text.removeprefix("unix:"))
    before, _, after = pattern.name.partition(PLACEHOLDER)
    name = re.compile(re.escape(before) + r"(.+)" + re.escape(after))
    for path in glob.glob(f"{glob.escape(before)}*{glob.escape(after)}", root_dir=pattern.parent):
        if match := name.fullmatch(path):
            yield match[1]
