"""A model as YAML: what a client may say of one, read as study files are, with every problem at its line."""

from typing import Final

from katib.domain.models import SavedModel
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.study_file_errors import Place, StudyFileError
from katib.domain.study_file_keys import KeySet
from katib.domain.study_file_values import parse_number, parse_whole
from katib.domain.study_file_walk import Entries, Entry, Walk
from katib.domain.study_file_yaml import compose

# 0.1's names for them, and what a data set is.
_REQUIRED: Final = ("study_name", "trial_id", "model_path")
_MODEL: Final = KeySet.of((*_REQUIRED, "parameters", "metrics", "data_set"))
_DATA_SET: Final = KeySet.of(("name", "path"))


def parse_model(data: str | bytes, source: str = "model.yaml") -> SavedModel:
    """Raises StudyFileError with a line for each problem."""
    walk = Walk()
    root = compose(data, source, "model", "its study_name, trial_id and model_path")
    top = walk.mapping(Entry(Place(1, ""), root), _MODEL)
    for name in _REQUIRED:
        if not walk.text(top.get(name)):
            walk.refuse(top[name].place if name in top else Place(None, name), "", "expected a text")
    data_set = walk.mapping(top["data_set"], _DATA_SET) if "data_set" in top else {}
    model = SavedModel(
        study_name=walk.text(top.get("study_name")),
        trial_id=walk.text(top.get("trial_id")),
        parameters=tuple(_parameter(name, value) for name, value in _pairs(top, "parameters", walk)),
        metrics=tuple(_pairs(top, "metrics", walk)),
        model_path=walk.text(top.get("model_path")),
        data_set_name=walk.text(data_set.get("name")),
        data_set_path=walk.text(data_set.get("path")),
    )
    walk.finish()
    if walk.problems:
        raise StudyFileError(source, walk.problems, walk.warnings)
    return model


def _pairs(top: Entries, name: str, walk: Walk) -> list[tuple[str, str]]:
    return [(key, walk.text(value)) for key, value in walk.pairs(top[name])] if name in top else []


def _parameter(name: str, value: str) -> Parameter:
    """Its type is what it looks like."""
    if parse_whole(value) is not None:
        return Parameter(name, ParameterType.INT, value)
    return Parameter(name, ParameterType.CATEGORICAL if parse_number(value) is None else ParameterType.DOUBLE, value)
