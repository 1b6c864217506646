"""What the manual says about study files is so."""

import re
from pathlib import Path

import pytest

from katib.domain.study_file import StudyFileError, parse_study
from katib.domain.study_file_keys import POD, STUDY

MANUAL = (Path(__file__).parents[2] / "docs" / "study-file.md").read_text()


def test_its_study_loads_and_its_errors_are_what_is_said() -> None:
    text, pods = re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
    assert parse_study(text + pods).spec.pod.limits == {"memory": "8Gi"}
    assert parse_study(text).warnings == ()
    said = re.findall(r"^my-network.*$", MANUAL, re.MULTILINE)
    with pytest.raises(StudyFileError) as error:
        parse_study(text.replace("categorical", "categorial").replace("max: 0.1", "max: o.1"), "my-network.yaml")
    assert str(error.value).splitlines() == said


def test_it_names_every_key_of_today() -> None:
    keys = set(STUDY.names.values())
    short = {  # documented in their short form, and in the table of 0.1's spellings
        "objective_value_name",
        "optimization_type",
        "optimization_goal",
        "objective_strategy",
        "parameter_configs",
        "suggest_algorithm",
        "suggestion_parameters",
        "early_stopping_algorithm",
        "early_stopping_parameters",
        "auto_stop_algorithm",
    }
    assert {key for key in keys - short if f"`{key}`" not in MANUAL} == set()
    assert {key for key in POD.names.values() if f"`{key}`" not in MANUAL} == set()
