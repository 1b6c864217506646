"""Which algorithm the programs ask that drive a study."""

from typing import Final

from katib.domain.study import StudySpec

# The tag of a study that programs drive which names the algorithm that they ask with, unless they say another one.
ALGORITHM_TAG: Final = "katib.algorithm"


def algorithm_of(spec: StudySpec) -> str:
    """The study's own, or the one that its programs ask with; empty where each says."""
    return spec.algorithm or next((tag.value for tag in spec.tags if tag.name == ALGORITHM_TAG), "")
