"""What a printed line is, the same for every worker.

A line feed and a carriage return both end a line (a progress bar is many lines); empty ones are left out; colour codes are
taken out; what is not UTF-8 is replaced; of a line beyond MAX_LINE bytes the beginning is given.
"""

import re
from typing import Final

from katib.domain.metrics import MAX_LINE

# ECMA-48 control sequences (colours, cursor movement), operating system commands (titles, links), two-character escapes.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS: Final = dict.fromkeys([*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0)], " ")


def line_text(line: bytes) -> str:
    """The text of a line, given without its end; empty for one that says nothing."""
    text = _cut(line).decode(errors="replace")
    if text.isprintable():
        return text
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return text.translate(_CONTROLS)


def _cut(line: bytes) -> bytes:
    """At most MAX_LINE of it, and no part of a word: the beginning of a number is another number."""
    if len(line) <= MAX_LINE:
        return line
    line = line[:MAX_LINE]
    end = max(line.rfind(b" "), line.rfind(b"\t"))
    return line[:end] if end >= 0 else line
