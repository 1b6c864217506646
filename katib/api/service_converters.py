"""Between the wire's messages and the domain's types: services."""

from typing import Final

from katib.api import api_pb2 as pb
from katib.domain.views import ServiceKind, ServiceStatus

SERVICE_KINDS: Final = {
    pb.AlgorithmInfo.SUGGESTION: ServiceKind.SUGGESTION,
    pb.AlgorithmInfo.EARLY_STOPPING: ServiceKind.EARLY_STOPPING,
}
_SERVICE_KIND_OF: Final = {v: k for k, v in SERVICE_KINDS.items()}


def service_to_proto(service: ServiceStatus) -> pb.AlgorithmInfo:
    return pb.AlgorithmInfo(
        name=service.name,
        kind=_SERVICE_KIND_OF[service.kind],
        serving=service.serving,
        address=service.address,
        message=service.message,
    )


def service_from_proto(message: pb.AlgorithmInfo) -> ServiceStatus:
    return ServiceStatus(message.name, SERVICE_KINDS[message.kind], message.address, message.serving, message.message)
