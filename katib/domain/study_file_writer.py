"""Writes a study as a study file in today's spelling."""

import re
from typing import Final

import yaml
from yaml.nodes import ScalarNode

from katib.domain.study import StudySpec
from katib.domain.study_file_tree import TemplateText, study_tree
from katib.domain.study_file_values import plain_value
from katib.domain.study_file_yaml import INVISIBLE

# What turns the direction of writing or joins what stands apart: no reader sees it, and what he reads is not what there is.
_HIDDEN: Final = re.compile(
    f"{INVISIBLE.pattern[:-1]}\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# To YAML's version 1.2, which most readers speak; PyYAML goes by 1.1, and knows its own.
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")
_STR: Final = "tag:yaml.org,2002:str"
_BARE: Final = frozenset({_STR, "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})


def dump_study(spec: StudySpec) -> str:
    """A study file that `parse_study` reads as the same study, provided that `check_study` accepts it.

    One study has no file: one with an early-stopping rule named `median`, which is read as `medianstopping`.
    """
    return yaml.dump(
        study_tree(spec),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=120,
    )


def dump_data(data: object) -> str:
    """Plain data as YAML: a text stays a text to every reader, and nothing is an alias."""
    return yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=10_000)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 -- PyYAML calls it
        return True

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        allowed = self.allow_unicode
        self.allow_unicode = allowed and not _HIDDEN.search(text)
        try:
            super().write_double_quoted(text, split)
        finally:
            self.allow_unicode = allowed


class _Dumper(_PlainDumper):
    """Numbers are texts here: written without quotes where it is a number that YAML sees in them."""


def _represent_plain_text(dumper: _PlainDumper, text: str) -> ScalarNode:
    return dumper.represent_scalar(_STR, text, _escaped(text) or ("'" if _NUMBER.fullmatch(text) else None))


def _represent_text(dumper: _Dumper, text: str) -> ScalarNode:
    tag = dumper.resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(tag if tag in _BARE else _STR, text, _escaped(text))


def _represent_template_text(dumper: _Dumper, text: str) -> ScalarNode:
    """In quotes where a reader of templates would see anything but a text in it."""
    tag = dumper.resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    quoted = None if tag == _STR and plain_value(text) == text else "'"
    return dumper.represent_scalar(_STR, str(text), _escaped(text) or quoted)


def _escaped(text: str) -> str | None:
    """The style in which the invisible is written as escapes, where there is any: nothing else of it is read."""
    return '"' if _HIDDEN.search(text) else None


_PlainDumper.add_representer(str, _represent_plain_text)
_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(TemplateText, _represent_template_text)
