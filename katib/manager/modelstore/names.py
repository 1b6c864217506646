"""How long the model store's keys may be."""

from typing import Final

from katib.domain.errors import InvalidArgumentError
from katib.manager.models import SavedModel, SavedStudy

# Both together must fit into a key of MySQL's.
_LONGEST: Final = 255


def check_study(study: SavedStudy) -> None:
    _check("study_name", study.name)


def check_model(model: SavedModel) -> None:
    _check("model.study_name", model.study_name)
    _check("model.trial_id", model.trial_id)


def _check(field: str, text: str) -> None:
    if not 1 <= len(text) <= _LONGEST:
        raise InvalidArgumentError.of(field, text, f"expected 1 to {_LONGEST} characters, got {len(text)}")
