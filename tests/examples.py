"""How many examples a property is tried with: all of them in CI, a part all day. What a change breaks, a few examples show."""

from hypothesis import settings


def examples(in_ci: int) -> int:
    """Hypothesis' own number is 100: what the profile says of it counts for all."""
    return max(5, in_ci * settings.default.max_examples // 100)
