"""Texts as cells of a CSV that somebody opens in a spreadsheet."""

import re
from typing import Final

from katib.domain.metrics import parse_value

# A spreadsheet takes a cell that begins so for a formula, which may run programs; some pass over spaces before it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")
# The name of a command-line option, as parameters have it, calls nothing.
_OPTION: Final = re.compile(r"--?[A-Za-z][\w.-]*", re.ASCII)
# Where cells begin for a spreadsheet that takes something else than the comma for what is between them, as many do in Europe.
_BETWEEN: Final = re.compile(r"([;\t\n])")


def text_cell(text: str) -> str:
    """With an apostrophe before what would be a formula. A number is one and no formula, however it begins."""
    # A bare carriage return would end the row for some readers, and Python's writer does not quote it.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.startswith(("\t", "\n")):
        text = f"'{text}"
    return "".join(map(_piece, _BETWEEN.split(text)))


def _piece(text: str) -> str:
    begin = text.lstrip(' \0\ufeff\xa0"')
    if len(text) > 1 and begin.startswith(_FORMULA) and not _is_number(begin) and not _OPTION.fullmatch(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    # Nobody of ours writes `+inf`, which a spreadsheet looks up.
    return parse_value(text) is not None and not text[:2].lower().startswith(("+i", "+n"))
