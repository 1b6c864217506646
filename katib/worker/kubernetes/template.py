"""The trial's values in a Pod template: `${trialParameters.NAME}` and `${trialSpec.NAME}`. Pure."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from katib.domain.errors import FieldViolation, violation
from katib.domain.pod import OWN_PREFIX

# The container that is the trial, unless a template names none so: then its first one.
TRIAL_CONTAINER: Final = "trial"
ANNOTATION_CONTAINER: Final = f"{OWN_PREFIX}container"
_REFERENCE: Final = re.compile(r"\$\{(trial[A-Za-z]*)\.([^{}]*)\}")
_TOLD: Final = re.compile(r"\.(command|args|env)\[")
_PARAMETERS: Final = "trialParameters"
_SPEC: Final = "trialSpec"
# In these Kubernetes itself replaces `$(NAME)`; `$$` is its way to write a dollar.
_EXPANDED: Final = frozenset({"command", "args", "value"})


def trial_index(containers: list[Any]) -> int:
    """Which container is the trial's."""
    names = [c.get("name") if isinstance(c, dict) else None for c in containers]
    return names.index(TRIAL_CONTAINER) if TRIAL_CONTAINER in names else 0


def trial_name(annotations: Mapping[str, Any], containers: list[Any]) -> str:
    """The name of the trial's container in a Pod as the cluster has it, where others may stand first that were injected."""
    named = annotations.get(ANNOTATION_CONTAINER)
    if isinstance(named, str) and named:
        return named
    # Made before there was that annotation.
    return str(containers[trial_index(containers)].get("name", "")) if containers else ""


def references(template: Any) -> Iterator[tuple[str, str, str]]:
    """Each `${kind.name}` in it with the path of the text that holds it."""
    for path, text in _texts(template, ""):
        for kind, name in _REFERENCE.findall(text):
            yield path, kind, name


def check_references(
    template: Any, parameters: frozenset[str], specs: frozenset[str], path: str
) -> list[FieldViolation]:
    found = []
    known = {_PARAMETERS: parameters, _SPEC: specs}
    for at, kind, name in references(template):
        whole = f"${{{kind}.{name}}}"
        if kind not in known:
            expected = f"expected ${{{_PARAMETERS}.NAME}} or ${{{_SPEC}.NAME}}"
            found.append(violation(f"{path}{at}", whole, expected))
        elif (name.lower() if kind == _SPEC else name) not in known[kind]:
            near = difflib.get_close_matches(name, known[kind], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            what = (
                "is no parameter of the study" if kind == _PARAMETERS else f"expected one of {', '.join(sorted(specs))}"
            )
            found.append(violation(f"{path}{at}", whole, f"{what}{hint}"))
    return found


def used_parameters(template: Any) -> frozenset[str]:
    return frozenset(name for _, kind, name in references(template) if kind == _PARAMETERS)


def asks_by_parameters(template: Any) -> bool:
    """Whether Pods made of it differ by their parameters in more than what their programs are told, as in their resources."""
    return any(kind == _PARAMETERS and not _TOLD.search(at) for at, kind, _ in references(template))


def substitute(template: Any, parameters: Mapping[str, str], specs: Mapping[str, str], words: Mapping[str, str]) -> Any:
    """The template with the trial's values. What stands for a value is never looked at again: a value that looks like a
    reference stays as it is. `words` are replaced as they stand."""
    pattern = re.compile("|".join([_REFERENCE.pattern, *(re.escape(word) for word in words)]))

    def fill(value: Any, expanded: bool) -> Any:
        if isinstance(value, str):

            def replaced(match: re.Match[str]) -> str:
                kind, name = match[1], match[2]
                if kind is None:
                    text = words[match[0]]
                else:
                    source, key = (parameters, name) if kind == _PARAMETERS else (specs, name.lower())
                    text = source.get(key, match[0])
                return text.replace("$", "$$") if expanded else text

            return pattern.sub(replaced, value)
        if isinstance(value, list):
            return [fill(item, expanded) for item in value]
        if isinstance(value, dict):
            return {key: fill(inner, key in _EXPANDED) for key, inner in value.items()}
        return value

    return fill(template, expanded=False)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _texts(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}")
