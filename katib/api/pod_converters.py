"""Between the wire's PodConfig and the domain's PodSettings."""

from collections.abc import Mapping

from katib.api import api_pb2 as pb
from katib.api.times import period_from_proto, period_to_proto
from katib.domain.pod import NO_POD_SETTINGS, PodSettings, Toleration


def pod_to_proto(pod: PodSettings) -> pb.PodConfig | None:
    """None where it says nothing: such a study looks as it did before there was a PodConfig."""
    if pod == NO_POD_SETTINGS:
        return None
    return pb.PodConfig(
        namespace=pod.namespace,
        labels=pod.labels,
        annotations=pod.annotations,
        environment=pod.environment,
        requests=pod.requests,
        limits=pod.limits,
        node_selector=pod.node_selector,
        tolerations=[
            pb.PodToleration(
                key=t.key, operator=t.operator, value=t.value, effect=t.effect, toleration_seconds=t.seconds
            )
            for t in pod.tolerations
        ],
        service_account=pod.service_account,
        start_timeout=None if pod.start_timeout is None else period_to_proto(pod.start_timeout),
        template=pod.template,
    )


def pod_from_proto(message: pb.PodConfig, path: str) -> PodSettings:
    return PodSettings(
        namespace=message.namespace,
        labels=_sorted(message.labels),
        annotations=_sorted(message.annotations),
        environment=_sorted(message.environment),
        requests=_sorted(message.requests),
        limits=_sorted(message.limits),
        node_selector=_sorted(message.node_selector),
        tolerations=tuple(
            Toleration(
                t.key,
                t.operator,
                t.value,
                t.effect,
                t.toleration_seconds if t.HasField("toleration_seconds") else None,
            )
            for t in message.tolerations
        ),
        service_account=message.service_account,
        start_timeout=period_from_proto(message.start_timeout, f"{path}.start_timeout")
        if message.HasField("start_timeout")
        else None,
        template=message.template,
    )


def _sorted(entries: Mapping[str, str]) -> dict[str, str]:
    """The wire's maps have no order; what is stored and shown has one."""
    return dict(sorted(entries.items()))
