"""From the nodes under `pod` in a study file to PodSettings."""

import json
from typing import Final

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from katib.domain.pod import NO_POD_SETTINGS, PodSettings, Toleration
from katib.domain.study_file_keys import POD, TOLERATION
from katib.domain.study_file_values import NULLS, plain_value
from katib.domain.study_file_walk import Entries, Entry, Walk

# What Kubernetes wants as text whatever it looks like: these keep their source text, as all else in a study file does.
_TEXTS: Final = frozenset({"value", "annotations", "labels", "matchLabels", "nodeSelector", "requests", "limits"})
_LISTS_OF_TEXTS: Final = frozenset({"args", "command", "values", "drop", "add"})
_MAPPINGS: Final = ("labels", "annotations", "environment", "requests", "limits", "node_selector")


def read_pod(entry: Entry | None, walk: Walk) -> PodSettings:
    if entry is None:
        return NO_POD_SETTINGS
    found = walk.mapping(entry, POD)
    walk.places.update((f"pod.{name}", value.place) for name, value in found.items())
    texts = {name: _texts(found, name, walk) for name in _MAPPINGS}
    return PodSettings(
        namespace=walk.text(found.get("namespace")),
        tolerations=_tolerations(found.get("tolerations"), walk),
        service_account=walk.text(found.get("service_account")),
        start_timeout=walk.period(found.get("start_timeout")),
        template=_template(found.get("template"), walk),
        **texts,
    )


def _texts(found: Entries, name: str, walk: Walk) -> dict[str, str]:
    entry = found.get(name)
    if entry is None:
        return {}
    texts = {}
    for key, value in walk.pairs(entry):
        walk.places[f"pod.{name}.{key}"] = value.place
        texts[key] = walk.text(value) if value.given else ""
    return texts


def _tolerations(entry: Entry | None, walk: Walk) -> tuple[Toleration, ...]:
    tolerations = []
    for i, item in enumerate(walk.items(entry)):
        walk.places[f"pod.tolerations[{i}]"] = item.place
        found = walk.mapping(item, TOLERATION)
        walk.places.update((f"pod.tolerations[{i}].{name}", value.place) for name, value in found.items())
        tolerations.append(
            Toleration(
                walk.text(found.get("key")),
                walk.text(found.get("operator")),
                walk.text(found.get("value")),
                walk.text(found.get("effect")),
                walk.whole(found.get("toleration_seconds")),
            )
        )
    return tuple(tolerations)


def _template(entry: Entry | None, walk: Walk) -> str:
    if entry is None:
        return ""
    if not isinstance(entry.node, MappingNode):
        walk.refuse_kind(entry, "expected a Pod's metadata and spec")
        return ""
    return json.dumps(_plain(entry, "pod.template", walk), separators=(",", ":"))


def _plain(entry: Entry, at: str, walk: Walk, *, as_text: bool = False, key: str = "") -> object:
    """The value of a node of a template; `at` is its path on the wire."""
    walk.places[at] = entry.place
    node = entry.node
    if isinstance(node, MappingNode):
        inner = key in _TEXTS
        return {
            name: _plain(value, f"{at}.{name}", walk, as_text=inner or name in _TEXTS, key=name)
            for name, value in walk.pairs(entry)
        }
    if isinstance(node, SequenceNode):
        texts = key in _LISTS_OF_TEXTS
        return [_plain(item, f"{at}[{i}]", walk, as_text=texts) for i, item in enumerate(walk.items(entry))]
    return _scalar(node, as_text=as_text)


def _scalar(node: Node, *, as_text: bool) -> object:
    assert isinstance(node, ScalarNode)
    text = str(node.value)
    if node.style is not None or node.tag.startswith("!"):
        return text
    if as_text and text not in NULLS - {""}:
        return text
    return plain_value(text)
