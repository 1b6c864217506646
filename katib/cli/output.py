"""The forms of output for programs: JSON, YAML and CSV of the same documents."""

import csv
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import click

from katib.cli.documents import Document
from katib.cli.terminal import clean_lines
from katib.domain.csv_cells import text_cell
from katib.domain.metrics import format_value


class Format(Enum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


output_option: Final = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(Format, case_sensitive=False),
    default=Format.TABLE,
    show_default="table",
    help="How to print it.",
)


def print_documents(documents: Sequence[Document], form: Format, fields: Sequence[str], spread: str = "") -> None:
    """A list of documents; `fields` and `spread` are for CSV."""
    if form is Format.CSV:
        click.echo(to_csv(documents, fields, spread), nl=False)
    else:
        _print(list(documents), form)


def print_document(document: Document, form: Format, spread: str = "") -> None:
    """One document; as CSV a header and one row."""
    if form is Format.CSV:
        click.echo(to_csv([document], list(document), spread), nl=False)
    else:
        _print(document, form)


def _print(data: object, form: Format) -> None:
    click.echo(to_json(data) if form is Format.JSON else to_yaml(data), nl=False)


def to_json(data: object) -> str:
    """JSON has no NaN and no infinities: these are the strings `nan`, `inf` and `-inf`, as on the wire."""
    return json.dumps(finite(data), indent=2, allow_nan=False) + "\n"


def to_yaml(data: object) -> str:
    from katib.domain.study_file_writer import dump_data  # PyYAML, only where it is wanted

    return dump_data(data)


def to_csv(documents: Sequence[Document], fields: Sequence[str], spread: str = "") -> str:
    """The header comes even with no row. A mapping becomes a column for each of its names, such as `tags.team`; the names
    of the mapping `spread` stand alone where they could not be taken for a field: `--lr`. A list is one cell of JSON."""
    rows = [_flat(document) for document in documents]
    nested = {field for document in documents for field in fields if isinstance(document.get(field), Mapping)}
    headers: dict[str, str] = {}
    for field in fields:
        if field not in nested:
            if not rows or any(field in row for row in rows):
                headers[field] = field
            continue
        for column in dict.fromkeys(column for row in rows for column in row if column.startswith(f"{field}.")):
            name = column.removeprefix(f"{field}.")
            alone = field == spread and name not in fields and not any(name.startswith(f"{other}.") for other in nested)
            headers[column] = name if alone else column
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([cell(header) for header in headers.values()])
    writer.writerows([cell(row.get(column)) for column in headers] for row in rows)
    return out.getvalue()


def _flat(document: Mapping[str, object], prefix: str = "") -> Document:
    flat: Document = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def cell(value: object) -> str:
    """A value as a cell of a CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_value(value)
    if isinstance(value, list):
        return json.dumps(finite(value), allow_nan=False)
    text = text_cell(str(value))
    # A terminal obeys what a file only holds.
    return clean_lines(text) if sys.stdout.isatty() else text


def finite(data: object) -> object:
    """The same for JSON, which has no NaN and no infinities."""
    if isinstance(data, float) and not math.isfinite(data):
        return format_value(data)
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [finite(value) for value in data]
    return data
