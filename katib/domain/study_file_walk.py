"""Walking the nodes of a study file: every entry with its place, and what is wrong collected rather than raised."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from katib.domain.errors import FieldViolation, violation
from katib.domain.study_file_errors import Place, Problem
from katib.domain.study_file_keys import KeySet, not_yet
from katib.domain.study_file_values import E, Words, parse_number, parse_period, parse_whole
from katib.domain.study_file_yaml import line_of

_NULL: Final = "tag:yaml.org,2002:null"
_SHOWN_KEY: Final = 80
_GUESSES: Final = 50
_MERGE: Final = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the file and where it stands."""

    place: Place
    node: Node

    @property
    def given(self) -> bool:
        """A key with nothing, `~` or `null` behind it gives no value."""
        return self.node.tag != _NULL


Entries = dict[str, Entry]


@dataclass(slots=True)
class Walk:
    """What came up on the way. `old` becomes true with the first spelling that only Katib 0.1 had."""

    old: bool = False
    places: dict[str, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    doubts: list[Problem] = field(default_factory=list)
    _unknown: list[tuple[Place, str, KeySet]] = field(default_factory=list)
    _guesses: int = 0

    def refuse(self, place: Place, value: object, expected: str) -> None:
        self.problems.append(Problem(place.line, violation(place.path, value, expected)))

    def refuse_kind(self, entry: Entry, expected: str) -> None:
        if isinstance(entry.node, ScalarNode):
            self.refuse(entry.place, entry.node.value, expected)
        else:
            found = "a list" if isinstance(entry.node, SequenceNode) else "a mapping"
            self.refuse(entry.place, "", f"{expected}, found {found}")

    def warn(self, place: Place, sentence: str) -> None:
        self.warnings.append(Problem(place.line, FieldViolation(place.path, "", sentence)))

    def doubt(self, place: Place, sentence: str) -> None:
        self.doubts.append(Problem(place.line, FieldViolation(place.path, "", sentence)))

    def pairs(self, entry: Entry) -> Iterator[tuple[str, Entry]]:
        """The keys and values of a mapping; each key once, each value that is given."""
        if not entry.given:
            return
        if not isinstance(entry.node, MappingNode):
            self.refuse_kind(entry, "expected 'key: value' on each line")
            return
        seen: dict[str, int] = {}
        for key_node, node in entry.node.value:
            line = line_of(key_node)
            if not isinstance(key_node, ScalarNode):
                self.refuse(Place(line, entry.place.path), "", "expected a key of plain text; found a list or mapping")
                continue
            key = key_node.value
            shown = key if len(key) <= _SHOWN_KEY else f"{key[: _SHOWN_KEY - 3]}..."
            place = Place(line, f"{entry.place.path}.{shown}" if entry.place.path else shown)
            if key_node.tag == _MERGE:
                self.refuse(place, "", "merge keys are not supported: write the keys out")
            elif key in seen:
                self.refuse(place, "", f"stands on line {seen[key]} already: keep one of the two")
            else:
                seen[key] = line
                yield key, Entry(place, node)

    def mapping(self, entry: Entry, keys: KeySet) -> Entries:
        """The known entries of a mapping, by the key's own name."""
        found: Entries = {}
        for key, value in self.pairs(entry):
            name = keys.find(key)
            if name is None:
                self._unknown.append((value.place, key, keys))
                continue
            self.old = self.old or keys.is_old_spelling(key)
            self.put(found, name, value)
        return {name: value for name, value in found.items() if value.given}

    def put(self, entries: Entries, name: str, entry: Entry) -> None:
        """Adds what may have been said before in another spelling."""
        before = entries.setdefault(name, entry)
        if before is not entry:
            first, second = sorted((before.place, entry.place), key=lambda place: place.line or 0)
            self.refuse(second, "", f"says the same as {first.path} on line {first.line}: keep one of the two")

    def rename(self, entries: Entries, old: str, new: str) -> None:
        entry = entries.pop(old, None)
        if entry is not None:
            self.put(entries, new, entry)

    def spread(self, entries: Entries, name: str, keys: KeySet, targets: dict[str, str], at: str = "") -> None:
        """Replaces the mapping `name` by its entries, each under the name in `targets`; `at` precedes these in `places`."""
        entry = entries.pop(name, None)
        if entry is None:
            return
        for key, target in targets.items():
            # What is missing is missing here.
            self.places[f"{at}{target}"] = Place(entry.place.line, f"{entry.place.path}.{key}")
        for key, value in self.mapping(entry, keys).items():
            self.put(entries, targets[key], value)

    def items(self, entry: Entry | None) -> Iterator[Entry]:
        """The items of a list."""
        if entry is None:
            return
        if not isinstance(entry.node, SequenceNode):
            self.refuse_kind(entry, "expected a list, '- item' on each line or [item, item]")
            return
        for i, node in enumerate(entry.node.value):
            yield Entry(Place(line_of(node), f"{entry.place.path}[{i}]"), node)

    def text(self, entry: Entry | None) -> str:
        """The source text of a scalar, whatever type YAML sees in it."""
        if entry is None:
            return ""
        if isinstance(entry.node, ScalarNode):
            return str(entry.node.value)
        self.refuse_kind(entry, "expected one value")
        return ""

    def word(self, entry: Entry | None, words: Words[E]) -> E | None:
        """The enum's value that a scalar names, or None when it names none."""
        text = self.text(entry)
        if entry is None or not text:
            return None
        found = words.find(text)
        if found is None:
            meant = words.mistaken.get(text.strip().lower()) or self._guess(
                partial(_nearest, text.lower(), words.names())
            )
            self.refuse(entry.place, text, words.expected + (f" (did you mean {meant!r}?)" if meant else ""))
        return found

    def _digits(self, entry: Entry | None) -> str | None:
        """The text of a scalar that is to be a number: an empty one, as of a variable that is not set, is none."""
        text = self.text(entry)
        return text if entry is not None and isinstance(entry.node, ScalarNode) else None

    def whole(self, entry: Entry | None) -> int | None:
        text = self._digits(entry)
        if entry is None or text is None:
            return None
        number = parse_whole(text)
        if number is None:
            self.refuse(entry.place, text, "expected a whole number")
        return number

    def number(self, entry: Entry | None) -> float | None:
        text = self._digits(entry)
        if entry is None or text is None:
            return None
        number = parse_number(text)
        if number is None:
            self.refuse(entry.place, text, "expected a number")
        return number

    def period(self, entry: Entry | None) -> timedelta | None:
        text = self._digits(entry)
        if entry is None or text is None:
            return None
        try:
            return parse_period(text)
        except ValueError as error:
            self.refuse(entry.place, text, str(error))
            return None

    def _guess(self, guess: Callable[[], str | None]) -> str | None:
        """What may be meant, for as many mistakes as anybody reads: of a file of nothing else it would take seconds."""
        self._guesses += 1
        return guess() if self._guesses <= _GUESSES else None

    def finish(self) -> None:
        """Judges the unknown keys, for which the whole file has to be known."""
        for place, key, keys in self._unknown:
            sentence = not_yet(key)
            here = keys.here(key)
            if sentence is None and here is not None:
                sentence = f"there is no such key (here it is {here!r})"
            if sentence is None:
                meant = self._guess(partial(keys.nearest, key, old=self.old))
                sentence = "there is no such key" + (f" (did you mean {meant!r}?)" if meant else "")
            if self.old:
                self.warn(place, f"ignored: {sentence}")
            else:
                self.refuse(place, "", sentence)
        self._unknown.clear()
        self.problems.sort(key=lambda problem: problem.line or 0)
        self.warnings.sort(key=lambda problem: problem.line or 0)


def _nearest(word: str, words: list[str]) -> str | None:
    import difflib  # only where something is wrong

    return next(iter(difflib.get_close_matches(word, words, n=1)), None)
