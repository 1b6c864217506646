"""Which of two trials is the better one."""

import math


def rank(objective: float | None, maximize: bool, number: int) -> tuple[bool, float, int]:
    """A key to sort by, the best first. None and NaN come last, and of two alike the trial with the lower number is first."""
    if objective is None or math.isnan(objective):
        return True, 0.0, number
    return False, -objective if maximize else objective, number
