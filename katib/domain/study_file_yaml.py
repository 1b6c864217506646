"""From the bytes of a study file to a tree of YAML nodes that is safe to walk and knows its lines.

Nodes and not values: a scalar keeps its source text (`0.030`, `yes`, `1e-5`), as Katib 0.1 read it. No tag is ever
constructed into an object. Size, depth and number of nodes are limited, aliases counted at their expanded size.
"""

import codecs
import re
from typing import Final

import yaml
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import AliasEvent, CollectionStartEvent, Event, NodeEvent, ScalarEvent
from yaml.nodes import MappingNode, Node, SequenceNode

from katib.domain.study_file_errors import StudyFileError

MAX_BYTES: Final = 1024 * 1024
# The deepest path of a study leads through a Pod template, such as
# pod.template.spec.affinity.podAffinity.preferred...[].podAffinityTerm.labelSelector.matchExpressions[].values[]: 14 levels.
MAX_DEPTH: Final = 20
MAX_NODES: Final = 50_000

_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# What no editor shows, and the line ends beside \n and \r by which YAML would count lines otherwise than editors do.
INVISIBLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_CORE_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "timestamp")
) | {"!"}


def compose(
    data: str | bytes, source: str, what: str = "study", least: str = "its name, objective and parameters"
) -> MappingNode:
    """The file's one document, a mapping; `what` it is to be and to hold at `least`. Raises StudyFileError with the line and
    what to do about it."""
    text = _decode(data, source)
    loader = _Loader(text, source)
    try:
        root = loader.get_single_node()
    except MarkedYAMLError as error:
        raise _syntax_error(error, source) from None
    except YAMLError as error:
        raise StudyFileError.at(source, None, f"not valid YAML: {error}") from None
    finally:
        loader.dispose()
    if root is None or root.tag == "tag:yaml.org,2002:null":
        raise StudyFileError.at(source, None, f"the file holds no {what}: write at least {least}")
    if not isinstance(root, MappingNode):
        found = "a list" if isinstance(root, SequenceNode) else "plain text"
        raise StudyFileError.at(source, line_of(root), f"expected a {what}, 'key: value' on each line; found {found}")
    return root


def line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _decode(data: str | bytes, source: str) -> str:
    if isinstance(data, str):
        # Each character has at least one byte: no need to encode what is too long anyway.
        size = len(data) if len(data) > MAX_BYTES else len(data.encode(errors="surrogatepass"))
        text = data
    else:
        size = len(data)
        for bom, name in _WIDE:
            if data.startswith(bom):
                raise StudyFileError.at(source, 1, f"the file is {name}: save it as UTF-8")
    if size > MAX_BYTES:
        raise StudyFileError.at(
            source, None, f"the file has {size} bytes; a study file has at most {MAX_BYTES} (1 MiB)"
        )
    if isinstance(data, bytes):
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise StudyFileError.at(
                source,
                data.count(b"\n", 0, error.start) + 1,
                f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8",
            ) from None
    # What Windows' editors put before UTF-8.
    text = text.removeprefix("\ufeff")
    invisible = INVISIBLE.search(text)
    if invisible is not None:
        raise StudyFileError.at(
            source,
            text.count("\n", 0, invisible.start()) + 1,
            f"the invisible character U+{ord(invisible.group()):04X} has no place in a study file: delete it"
            ' (inside "double quotes" it can be written as an escape, such as "\\x1b")',
        )
    return text


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, used as far as nodes only, with limits on what it composes."""

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text)
        self._source = source
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[str, int | None] = {}  # by anchor, its expanded number of nodes; None while it is open

    def get_single_node(self) -> Node | None:
        self._next()
        root = None if self.check_event(yaml.StreamEndEvent) else self.compose_document()
        if not self.check_event(yaml.StreamEndEvent):
            raise self._refuse(self._next(), "a second document begins here; write one study to a file")
        return root

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event: NodeEvent = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent):
            self._count(event, self._alias_size(event))
            return super().compose_node(parent, index)
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag and event.tag not in _CORE_TAGS:
            raise self._refuse(event, f"the tag {event.tag[:80]!r} means nothing in a study file: delete it")
        before = self._nodes
        self._count(event, 1)
        if event.anchor is not None:
            self._sizes[event.anchor] = None
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - before
        return node

    def _alias_size(self, event: AliasEvent) -> int:
        if event.anchor not in self._sizes:
            return 1  # the composer says that there is no such anchor
        size = self._sizes[event.anchor]
        if size is None:
            raise self._refuse(event, f"*{event.anchor} stands inside of itself")
        return size

    def _count(self, event: NodeEvent, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._refuse(event, f"more than {MAX_NODES} values, aliases counted as what they stand for")

    def _next(self) -> Event:
        event: Event = self.get_event()  # type: ignore[no-untyped-call]
        return event

    def _refuse(self, event: Event, sentence: str) -> StudyFileError:
        line = None if event.start_mark is None else event.start_mark.line + 1
        return StudyFileError.at(self._source, line, sentence)


def _syntax_error(error: MarkedYAMLError, source: str) -> StudyFileError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else None
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return StudyFileError.at(source, line, "a tab stands where only spaces may: indent with spaces")
    context = f" {error.context}" if error.context else ""
    began = ""
    if error.context_mark is not None and mark is not None and error.context_mark.line != mark.line:
        began = f" that began on line {error.context_mark.line + 1}"
    return StudyFileError.at(source, line, f"not valid YAML: {problem}{context}{began}{_hint(problem)}")


def _hint(problem: str) -> str:
    """What most often leads to such a problem."""
    if "mapping values are not allowed" in problem:
        return "; is the line indented as its neighbours are, and a text that holds ': ' in quotes?"
    if "could not find expected ':'" in problem:
        return "; write 'key: value', with a space after the colon"
    if "<block end>" in problem:
        return "; is the line indented as its neighbours are?"
    if "cannot start any token" in problem:
        return "; put a text that begins with this character in quotes"
    return ""
