"""Where a Pod leaves its model: on the study's volume, under Katib 0.1's convention.

0.1 knew a model as `<claim>:/logs/<mount path>/<study>-<trial>`, and showed it to a TensorBoard with the volume mounted at
/logs. So on the volume itself it is `<mount path>/<study>-<trial>`, and for the Pod, which has the volume at its mount path,
that folder below it.
"""

import posixpath

from katib.domain.study import Mount, StudySpec


def model_folder(spec: StudySpec, study_id: str, trial_id: str) -> str:
    """As the Pod sees it; empty for a study without a volume."""
    mount = mount_of(spec)
    return posixpath.join(mount.path, _on_volume(mount, study_id, trial_id)) if mount else ""


def model_path(spec: StudySpec, study_id: str, trial_id: str) -> str:
    """As 0.1 writes it; empty for a study without a volume."""
    mount = mount_of(spec)
    return f"{mount.pvc}:{posixpath.join('/logs', _on_volume(mount, study_id, trial_id))}" if mount else ""


def mount_of(spec: StudySpec) -> Mount | None:
    return spec.mount if spec.mount is not None and spec.mount.pvc else None


def _on_volume(mount: Mount, study_id: str, trial_id: str) -> str:
    return posixpath.join(posixpath.normpath(mount.path).strip("/"), f"{study_id}-{trial_id}")
