"""What every model store makes of names: how long they may be, and a study as a project."""

from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.domain.models import SavedModel, SavedStudy
from katib.domain.study import Study

# Both together must fit into a key of MySQL's.
_LONGEST: Final = 255


def check_study(study: SavedStudy) -> None:
    _check("study_name", study.name)


def check_model(model: SavedModel) -> None:
    _check("model.study_name", model.study_name)
    _check("model.trial_id", model.trial_id)


def project_of(study: Study) -> SavedStudy:
    return SavedStudy(study.spec.name, study.spec.owner, study.spec.task_name)


def _check(field: str, text: str) -> None:
    if not 1 <= len(text) <= _LONGEST:
        raise InvalidArgumentError.of(field, text, f"expected 1 to {_LONGEST} characters, got {len(text)}")
