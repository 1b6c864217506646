"""JSON, YAML and CSV of studies and trials: stable names, numbers that stay numbers, nothing a spreadsheet would run."""

import csv
import io
import json
from datetime import datetime, timedelta, timezone

import pytest
import yaml

from katib.cli.documents import (
    SERVICE_FIELDS,
    STUDY_FIELDS,
    TRIAL_FIELDS,
    parameter_value,
    service_document,
    study_detail_document,
    study_document,
    trial_document,
)
from katib.cli.output import to_csv, to_json, to_yaml
from katib.domain.search_space import Parameter, ParameterType
from katib.domain.trial import Tag
from katib.domain.views import ServiceKind, ServiceStatus, StudyDetail
from tests.cli.conftest import ROOT
from tests.cli.scripted import SPEC, study, trial


def test_the_names_of_the_fields_are_those_that_are_promised() -> None:
    assert tuple(study_document(study())) == STUDY_FIELDS
    assert tuple(trial_document(trial())) == TRIAL_FIELDS
    assert tuple(service_document(ServiceStatus("a", ServiceKind.SUGGESTION, "b", serving=True))) == SERVICE_FIELDS


def test_a_trial_in_json_has_numbers_and_times() -> None:
    document = json.loads(to_json(trial_document(trial(1, objective=0.5, tags=(Tag("a", "1"),)))))
    assert document["parameters"] == {"--lr": 0.012345678901234567, "--layers": 3, "--opt": "sgd"}
    assert document["objective"] == 0.5
    assert document["created_at"] == "2026-05-04T12:00:00Z"
    assert document["ended_at"] is None
    assert document["tags"] == {"a": "1"}


def test_a_study_in_json_and_yaml_is_the_same() -> None:
    document = study_detail_document(StudyDetail(study(best_objective=1e-5), SPEC, trial()))
    assert yaml.safe_load(to_yaml(document)) == document
    assert json.loads(to_json(document)) == document
    spec = json.loads(to_json(document))["spec"]
    assert spec["parameters"][0] == {"name": "--lr", "type": "double", "min": 0.01, "max": 0.1}
    assert spec["objective"] == {"name": "accuracy", "type": "maximize"}


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "nan"), (float("inf"), "inf"), (float("-inf"), "-inf")])
def test_what_is_no_finite_number_is_valid_everywhere(value: float, text: str) -> None:
    document = trial_document(trial(1, objective=value))
    strict = json.loads(to_json([document]), parse_constant=lambda constant: pytest.fail(constant))
    assert strict[0]["objective"] == text
    assert repr(yaml.safe_load(to_yaml(document))["objective"]) == text
    assert rows(to_csv([document], TRIAL_FIELDS))[0]["objective"] == text


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (ParameterType.INT, "12345678901234567890", 12345678901234567890),
        (ParameterType.INT, "2.0", 2.0),
        (ParameterType.DISCRETE, "0.1", 0.1),
        (ParameterType.DISCRETE, "16", 16),
        (ParameterType.DOUBLE, "1e999", "1e999"),
        (ParameterType.DOUBLE, "abc", "abc"),
        (ParameterType.CATEGORICAL, "3", "3"),
    ],
)
def test_a_parameter_is_a_number_where_it_is_one(type_: ParameterType, text: str, value: object) -> None:
    assert parameter_value(Parameter("x", type_, text)) == value


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_csv_has_a_column_for_each_parameter() -> None:
    (row,) = rows(to_csv([trial_document(trial(1, message='a, "b"\nc'))], TRIAL_FIELDS, "parameters"))
    assert row["--lr"] == "0.012345678901234567"
    assert row["--layers"] == "3"
    assert row["message"] == 'a, "b"\nc'
    assert row["objective"] == ""
    assert "tags" not in row


def test_a_parameter_named_as_a_field_has_its_own_column() -> None:
    t = trial(1, parameters=(Parameter("number", ParameterType.INT, "7"),), tags=(Tag("number", "8"),))
    (row,) = rows(to_csv([trial_document(t)], TRIAL_FIELDS, "parameters"))
    assert (row["number"], row["parameters.number"], row["tags.number"]) == ("1", "7", "8")


def test_no_two_columns_of_a_csv_have_one_name() -> None:
    names = ("id", "parameters.id", "parameters.parameters.id", "tags.team")
    parameters = tuple(Parameter(name, ParameterType.INT, str(i)) for i, name in enumerate(names))
    text = to_csv(
        [trial_document(trial(1, parameters=parameters, tags=(Tag("team", "x"),)))], TRIAL_FIELDS, "parameters"
    )
    header, values = csv.reader(io.StringIO(text))
    assert len(set(header)) == len(header)
    assert [values[header.index(f"parameters.{name}")] for name in names] == ["0", "1", "2", "3"]


def test_a_csv_without_rows_has_its_header() -> None:
    assert to_csv([], STUDY_FIELDS) == ",".join(STUDY_FIELDS) + "\n"


def test_trials_of_different_studies_share_a_csv() -> None:
    other = trial(2, parameters=(Parameter("depth", ParameterType.INT, "7"),))
    first, second = rows(to_csv([trial_document(trial(1)), trial_document(other)], TRIAL_FIELDS))
    assert (first["parameters.depth"], second["parameters.depth"]) == ("", "7")
    assert (first["parameters.--layers"], second["parameters.--layers"]) == ("3", "")


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd", "-x|calc", "-2+3", "--f(x)", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\r\n=1", "＝1"]
)
def test_a_spreadsheet_takes_no_cell_for_a_formula(text: str) -> None:
    (row,) = rows(to_csv([{"name": text}], ["name"]))
    assert row["name"].startswith("'")
    # Behind a tab or the end of a line another cell begins for some.
    assert row["name"].replace("'", "") == text.replace("\r\n", "\n").replace("\r", "\n")
    assert to_csv([{text: "x"}], [text]).startswith(("'", "\"'"))


@pytest.mark.parametrize("text", ["-0.5", "+3", "-inf", "-1e-5"])
def test_a_negative_number_stays_one(text: str) -> None:
    assert rows(to_csv([{"value": text}], ["value"]))[0]["value"] == text
    assert rows(to_csv([{"value": float(text)}], ["value"]))[0]["value"] == repr(float(text))


def test_lists_and_truths_have_one_cell() -> None:
    assert to_csv([{"a": [1, float("nan")], "b": True}], ["a", "b"]) == 'a,b\n"[1, ""nan""]",true\n'


@pytest.mark.parametrize("text", ["1e-3", "0o17", "0x1F", "012", "1.", ".5", "true", "~", "=", "1_0", "2026-01-01"])
def test_a_text_in_yaml_is_in_quotes_where_any_reader_would_see_something_else_in_it(text: str) -> None:
    assert to_yaml({"message": text}) == f"message: '{text}'\n"


def test_json_holds_no_character_that_a_terminal_obeys() -> None:
    text = to_json(study_document(study(name="\x1b[31m\x9b\u202e")))
    assert text.replace("\n", "").isprintable()


def test_times_are_utc() -> None:
    there = datetime(2026, 5, 4, 14, tzinfo=timezone(timedelta(hours=2)))
    assert study_document(study(created_at=there))["created_at"] == "2026-05-04T12:00:00Z"


def test_the_manual_names_every_field() -> None:
    manual = (ROOT / "docs" / "cli.md").read_text()
    assert {f for f in (*STUDY_FIELDS, *TRIAL_FIELDS, *SERVICE_FIELDS) if f"`{f}`" not in manual} == set()
