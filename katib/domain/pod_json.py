"""Pod settings as plain data for JSON and back, as `study_json` stores them."""

from collections.abc import Mapping
from typing import Any

from katib.domain.pod import NO_POD_SETTINGS, PodSettings, Toleration
from katib.domain.times import period_from_micros_or_none, period_to_micros_or_none


def pod_to_json(pod: PodSettings) -> dict[str, object]:
    """Without what has its default; a time-out of nothing is not absent."""
    if pod == NO_POD_SETTINGS:
        return {}
    data: dict[str, object] = {
        "namespace": pod.namespace,
        "labels": dict(pod.labels),
        "annotations": dict(pod.annotations),
        "environment": dict(pod.environment),
        "requests": dict(pod.requests),
        "limits": dict(pod.limits),
        "node_selector": dict(pod.node_selector),
        "tolerations": [[t.key, t.operator, t.value, t.effect, t.seconds] for t in pod.tolerations],
        "service_account": pod.service_account,
        "template": pod.template,
    }
    data = {name: value for name, value in data.items() if value}
    if pod.start_timeout is not None:
        data["start_timeout_us"] = period_to_micros_or_none(pod.start_timeout)
    return data


def pod_from_json(data: Mapping[str, Any]) -> PodSettings:
    return PodSettings(
        namespace=data.get("namespace", ""),
        labels=data.get("labels", {}),
        annotations=data.get("annotations", {}),
        environment=data.get("environment", {}),
        requests=data.get("requests", {}),
        limits=data.get("limits", {}),
        node_selector=data.get("node_selector", {}),
        tolerations=tuple(Toleration(*toleration) for toleration in data.get("tolerations", ())),
        service_account=data.get("service_account", ""),
        start_timeout=period_from_micros_or_none(data.get("start_timeout_us")),
        template=data.get("template", ""),
    )
