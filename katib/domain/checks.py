"""What checks of texts and lists have in common."""

import re
from collections.abc import Sequence
from typing import Final

from katib.domain.errors import FieldViolation, violation

MAX_TEXT: Final = 1000
MAX_NAME: Final = 128

# What the system cannot pass to a program, and what UTF-8 cannot carry to the manager.
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")


def check_text(field: str, text: str, most: int, required: str = "") -> list[FieldViolation]:
    """At most `most` printable characters; `required` says what is expected where there must be some."""
    if required and not text.strip():
        return [violation(field, text, f"expected {required}")]
    if len(text) > most:
        return [violation(field, text, f"expected at most {most} characters, got {len(text)}")]
    if not text.isprintable():
        return [violation(field, text, "expected printable characters only")]
    return []


def check_word(field: str, text: str) -> list[FieldViolation]:
    """What a program may be given as an argument or a variable: anything but what the system cannot pass on."""
    if _UNFIT.search(text):
        return [violation(field, text, "expected no NUL character and no half of a surrogate pair")]
    return []


def check_count(field: str, items: Sequence[object], most: int) -> list[FieldViolation]:
    if len(items) > most:
        return [violation(field, f"{len(items)} entries", f"expected at most {most}")]
    return []


def check_name(field: str, name: str) -> list[FieldViolation]:
    """A parameter's or metric's name stands before `=` on a command line or in a line of output."""
    if not name:
        return [violation(field, name, "expected a name")]
    if len(name) > MAX_NAME:
        return [violation(field, name, f"expected at most {MAX_NAME} characters, got {len(name)}")]
    if not name.isprintable() or any(c.isspace() or c == "=" for c in name):
        return [violation(field, name, "expected printable characters without spaces and '='")]
    return []
