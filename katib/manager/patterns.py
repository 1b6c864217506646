"""The engine for the regular expressions of users: its time is linear in the text, whatever the pattern.

Python's own can take for ever over one line, and with it the manager that reads it.
"""

import re
from typing import Final, cast

import re2

from katib.domain.collector import PATTERN_GROUPS
from katib.domain.errors import InvalidArgumentError
from katib.domain.metric_lines import Pattern

_GROUPS: Final = frozenset({"name", "value", "step"})
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
# The program of a pattern, its automaton included; one that needs more is refused.
_OPTIONS.max_mem = 1 << 20


def compile_pattern(pattern: str, field: str = "metrics_collector.pattern") -> Pattern:
    """Raises InvalidArgumentError for what RE2 does not have, such as what looks ahead or refers back, and for what has not
    the groups that are wanted."""
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        what = error.args[0] if error.args else ""
        text = what.decode(errors="replace") if isinstance(what, bytes) else str(what)
        raise InvalidArgumentError.of(
            field, pattern, f"expected a regular expression as RE2 has them: {text}"
        ) from None
    if "value" not in compiled.groupindex or not compiled.groupindex.keys() <= _GROUPS:
        raise InvalidArgumentError.of(field, pattern, f"expected a regular expression {PATTERN_GROUPS}")
    return cast(Pattern, compiled)


def check_sdk_pattern(pattern: str, field: str) -> None:
    """Raises InvalidArgumentError for what the SDK's engine, Python's, does not have or reads otherwise than RE2. It is only
    compiled: it is the trial that takes the time to match."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidArgumentError.of(
            field,
            pattern,
            f"expected, with reader: sdk, a regular expression that Python's re has too: {error}",
        ) from None
    if "[[:" in pattern:
        # Python's takes it for a set of characters, and the pattern would match nothing.
        raise InvalidArgumentError.of(
            field,
            pattern,
            r"expected, with reader: sdk, no classes such as [[:digit:]], which Python's re has not: write \d",
        )
