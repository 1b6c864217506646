"""The Pod of a run, as JSON. Pure: nothing here speaks to a cluster."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from katib.domain.errors import FieldViolation
from katib.domain.pod import OWN_PREFIX
from katib.domain.study import StudySpec
from katib.worker.base import RunSpec
from katib.worker.kubernetes.policy import Policy

LABEL_STUDY: Final = f"{OWN_PREFIX}study"
LABEL_TRIAL: Final = f"{OWN_PREFIX}trial"
LABEL_ATTEMPT: Final = f"{OWN_PREFIX}attempt"
LABEL_INSTALLATION: Final = f"{OWN_PREFIX}installation"
LABEL_OWNER: Final = f"{OWN_PREFIX}owner"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "katib"
ANNOTATION_STUDY_NAME: Final = f"{OWN_PREFIX}study-name"
# The container that is the trial, unless a template names none so: then its first one.
TRIAL_CONTAINER: Final = "trial"


def make_pod(run: RunSpec, policy: Policy) -> dict[str, Any]:
    """The Pod of a run, in the namespace of its study.

    Raises InvalidArgumentError for a study that `check_pod` refuses: the policy may be stricter than when it was created.
    """
    raise NotImplementedError


def check_pod(spec: StudySpec, policy: Policy) -> Sequence[FieldViolation]:
    """What of a study cannot run as Pods here; fields are paths below `study_config`. `check_study` has accepted it."""
    raise NotImplementedError


def trial_container(pod: Mapping[str, Any]) -> str:
    """The name of the container whose end is the trial's end and whose log is its output."""
    raise NotImplementedError
