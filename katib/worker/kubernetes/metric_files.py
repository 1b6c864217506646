"""Where a Pod writes the file, or the folder, that its study's metrics are read from: on the study's volume, which the manager
has mounted too."""

import posixpath
from collections.abc import Sequence

from katib.domain.errors import FieldViolation, violation
from katib.domain.study import StudySpec
from katib.worker.kubernetes.models import mount_of


def pod_path(spec: StudySpec, study_id: str, run: str) -> str:
    """As the Pod sees it: every attempt has its own. Empty where the manager has nothing to read."""
    mount = mount_of(spec)
    if not spec.collector.file_of_manager or mount is None:
        return ""
    return posixpath.join(mount.path, _name(study_id, run))


def manager_path(spec: StudySpec, study_id: str, run: str, mount_root: str) -> str:
    """The same as the manager sees it."""
    root = volume(spec, mount_root)
    return posixpath.join(root, _name(study_id, run)) if root else ""


def volume(spec: StudySpec, mount_root: str) -> str:
    """The study's volume as the manager sees it. What is on it is the Pods' to write: any name there may be a link."""
    mount = mount_of(spec)
    return posixpath.join(mount_root, mount.pvc) if mount is not None else ""


def check_metric_files(spec: StudySpec, mount_root: str) -> Sequence[FieldViolation]:
    collector = spec.collector
    mount = mount_of(spec)
    if collector.file_of_sdk and mount is not None and _is_below(collector.path, mount.path):
        return [
            violation(
                "metrics_collector.path",
                collector.path,
                "expected a path that is not on the study's mount: all trials would write to this one, and each would have the "
                "values of the others",
            )
        ]
    if not collector.file_of_manager:
        return []
    at = "metrics_collector.source"
    if not mount_root:
        return [
            violation(
                at,
                collector.source.value,
                "the manager sees no volumes of Pods (the operator can: --mount-root PATH): print the metrics, "
                "report them, or have them read in the trial by reader: sdk",
            )
        ]
    if mount is None:
        return [violation(at, collector.source.value, "expected also mount: the manager reads the file on its volume")]
    if collector.path:
        return [
            violation(
                "metrics_collector.path",
                collector.path,
                "expected none: each Pod finds a path of its own on the volume in $KATIB_METRICS_PATH",
            )
        ]
    return []


def _is_below(path: str, folder: str) -> bool:
    return posixpath.join(posixpath.normpath(path), "").startswith(posixpath.join(posixpath.normpath(folder), ""))


def _name(study_id: str, run: str) -> str:
    return f"{study_id}-{run}.metrics"
