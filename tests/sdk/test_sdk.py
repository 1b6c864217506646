"""The SDK in a program: what it costs to import, and that it does nothing outside a trial."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.metric_lines import TextLines, parse_output
from katib.domain.metrics import MAX_SOURCE, REPORT_SOURCE, Observation, OutputLine
from katib.domain.report_lines import MODEL_PREFIX, PREFIX, format_model, format_report, parse_model, parse_report
from katib.sdk import reporter
from katib.sdk.environment import TrialEnvironment
from tests.e2e.harness import world

NOW = datetime(2026, 5, 4, 12, 30, 15, 250_000, tzinfo=UTC)


def python(text: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {n: v for n, v in os.environ.items() if n not in ("TRIAL_ID", "KATIB_ATTEMPT", "KATIB_SERVER")}
    return subprocess.run(
        [sys.executable, "-c", text],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_importing_it_takes_no_time_and_loads_nothing_heavy() -> None:
    text = """
import sys, time, json
begin = time.process_time()
import katib
katib.report, katib.should_stop
print(json.dumps([time.process_time() - begin, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    tries = [json.loads(python(text).stdout) for _ in range(3)]
    assert min(seconds for seconds, _ in tries) < 0.1
    assert not {"grpc", "google", "numpy", "yaml", "click", "rich", "sqlalchemy"} & set(tries[0][1])


def test_outside_a_trial_it_does_nothing_and_says_so_once() -> None:
    done = python("import katib\nfor i in range(3): katib.report(acc=i)\nprint(katib.should_stop())")
    assert done.stdout == "False\n"
    assert done.stderr == "this is not a trial of Katib: what is reported goes nowhere\n"


def test_what_is_no_mapping_is_left_out_and_said_on_standard_error_and_the_trial_goes_on() -> None:
    text = """
import katib

class Unprintable:
    def __repr__(self):
        raise ValueError

for given in (0.5, [("loss", 1)], "acc", Unprintable(), None, {}):
    katib.report(given)
katib.report(0.5, acc=0.75)
katib.report({"loss": 1}, acc=0.75)
print("trained")
"""
    done = python(text, TRIAL_ID="t" + "0" * 15, KATIB_ATTEMPT="1")
    assert done.stdout == "trained\n"
    warnings = [line for line in done.stderr.splitlines() if line and not line.startswith(PREFIX)]
    assert [line.partition(" is left out: expected names with the values")[0] for line in warnings] == [
        "0.5",
        "[('loss', 1)]",
        "'acc'",
        "a Unprintable",
    ]
    assert done.stderr.count('"acc"') == 2


def test_every_public_name_is_shown_and_leads_to_what_it_names() -> None:
    text = """
import katib
assert set(katib.__all__) <= set(dir(katib)), dir(katib)
assert all(getattr(katib, name).__name__ == name for name in katib.__all__)
assert issubclass(katib.InvalidArgumentError, katib.KatibError)
"""
    python(text)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert (
        "no attribute 'reprot'"
        in python("import katib\ntry: katib.reprot\nexcept AttributeError as e: print(e)").stdout
    )


@pytest.mark.long
def test_a_program_that_is_alone_ends_in_time_and_prints_what_it_reported() -> None:
    # Nobody listens there.
    done = python(
        "import katib\nkatib.report(acc=0.5, step=7)",
        TRIAL_ID="t" + "0" * 15,
        KATIB_ATTEMPT="1",
        KATIB_SERVER="unix:/nonexistent/socket",
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(PREFIX)]
    (found,) = parse_output([OutputLine(line, 9, NOW)], TextLines(()), 1)
    assert (found.name, found.value, found.step, found.position, found.attempt) == ("acc", 0.5, 7, 1, 1)
    assert found.source.startswith("report:sdk-")


def printed(done: "subprocess.CompletedProcess[str]") -> list[float]:
    lines = [OutputLine(line, 9, NOW) for line in done.stderr.splitlines() if line.startswith(PREFIX)]
    return [found.value for found in parse_output(lines, TextLines(()), 1)]


def test_once_reports_had_to_be_printed_all_that_follow_are_printed_too_and_at_once() -> None:
    text = """
import os, katib, katib.sdk.reporter
katib.sdk.reporter.BUFFER = 5
for i in range(12):
    katib.report(acc=i)
os._exit(0)
"""
    done = python(text, TRIAL_ID="t" + "0" * 15, KATIB_ATTEMPT="1", KATIB_SERVER="unix:/nonexistent/socket")
    assert printed(done) == list(range(12))


@pytest.mark.long
@pytest.mark.parametrize("server", ["", "unix:/nonexistent/socket"])
def test_what_is_reported_by_handlers_of_the_programs_end_is_printed(server: str) -> None:
    text = """
import atexit, katib
atexit.register(lambda: katib.report(acc=3))
katib.report(acc=1)
atexit.register(lambda: katib.report(acc=2))
"""
    done = python(text, TRIAL_ID="t" + "0" * 15, KATIB_ATTEMPT="1", KATIB_SERVER=server)
    assert printed(done) == [1, 2, 3]


def test_the_first_report_may_come_from_a_handler_of_the_programs_end() -> None:
    text = "import atexit, logging, katib\natexit.register(lambda: katib.report(acc=3))"
    done = python(text, TRIAL_ID="t" + "0" * 15, KATIB_ATTEMPT="1", KATIB_SERVER="unix:/nonexistent/socket")
    assert printed(done) == [3]


def test_a_program_prints_where_its_model_is_and_no_path_of_any_kind_stops_it() -> None:
    text = """
import katib, pathlib
for path in ("s3://models/7", "", None, "a\\nb", "x" * 5000, b"bytes", pathlib.Path("/models/8")):
    katib.report_model(path)
print("trained")
"""
    done = python(text, TRIAL_ID="t" + "0" * 15, KATIB_ATTEMPT="1")
    assert done.stdout == "trained\n"
    lines = [OutputLine(line, 9, NOW) for line in done.stderr.splitlines()]
    assert [parse_model([line]) for line in lines if line.text.startswith(MODEL_PREFIX)] == [
        "s3://models/7",
        "/models/8",
    ]
    assert parse_model(lines) == "/models/8"
    assert done.stderr.count("is no model's path") == 5
    outside = python("import katib\nkatib.report_model('/m')\nprint('trained')")
    assert (outside.stdout, outside.stderr.count("\n")) == ("trained\n", 1)


@pytest.mark.long
def test_where_another_katib_answers_reports_are_printed(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        it.manager()
        done = python(
            "import katib, time\nkatib.report(acc=0.5)\ntime.sleep(2)\nkatib.report(acc=0.75)\nprint(katib.should_stop())",
            TRIAL_ID="t" + "0" * 15,
            KATIB_ATTEMPT="1",
            KATIB_SERVER=it.address,
        )
    assert done.stdout == "False\n"
    assert [line.startswith(PREFIX) for line in done.stderr.splitlines() if "acc" in line] == [True, True]


def test_sigterm_makes_it_ask_for_the_end_where_the_program_has_no_handler() -> None:
    text = """
import os, signal, katib
print(katib.should_stop())
os.kill(os.getpid(), signal.SIGTERM)
print(katib.should_stop())
"""
    assert python(text).stdout == "False\nTrue\n"


def test_a_handler_of_the_program_stays() -> None:
    text = """
import os, signal, katib
signal.signal(signal.SIGTERM, lambda *_: print("mine"))
katib.should_stop()
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert python(text).stdout == "mine\n"


names = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="="), min_size=1, max_size=128)
reporters = st.text("abcdef0123456789-", min_size=0, max_size=MAX_SOURCE - len(REPORT_SOURCE))
whole = st.integers(-(2**63), 2**63 - 1)


@given(reporters, names, st.floats(), st.none() | whole, st.integers(1, 2**63 - 1), st.integers(1, 9))
def test_a_printed_report_is_read_back_the_same(
    reporter: str, name: str, value: float, step: int | None, position: int, attempt: int
) -> None:
    observation = Observation(name, value, NOW, attempt, REPORT_SOURCE + reporter, position, step=step)
    line = format_report(reporter, observation)
    assert line.isprintable()
    assert repr(parse_report(OutputLine(line, 5, NOW), attempt)) == repr(observation)


@given(
    st.text()
    | st.dictionaries(
        st.sampled_from(["reporter", "sequence", "name", "value", "step", "time"]),
        st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.just([]),
    ).map(json.dumps)
)
def test_a_line_that_only_begins_like_a_report_does_no_harm(text: str) -> None:
    found = parse_report(OutputLine(PREFIX + text, 5, NOW), 1)
    assert found is None or (0 < found.position < 2**63 and len(found.source) <= MAX_SOURCE)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=4096))
def test_a_printed_path_of_a_model_is_read_back_the_same(path: str) -> None:
    line = format_model(path)
    assert line.isascii()
    assert parse_model([OutputLine(line, 1, NOW)]) == path


@given(
    st.text()
    | (st.dictionaries(st.just("path"), st.text() | st.integers() | st.none()) | st.lists(st.text())).map(json.dumps)
)
def test_a_line_that_only_begins_like_a_models_does_no_harm(text: str) -> None:
    found = parse_model([OutputLine(MODEL_PREFIX + text, 1, NOW)])
    assert found == "" or (found.isprintable() and len(found) <= 4096)


def test_what_follows_something_printed_is_printed_too_although_it_could_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts: list[bool] = []
    printed: list[str] = []

    class Thread(threading.Thread):
        def start(self) -> None:
            starts.append(True)
            if len(starts) == 1:
                raise RuntimeError("can't start new thread")

        def is_alive(self) -> bool:
            return True

    monkeypatch.setattr(threading, "Thread", Thread)
    monkeypatch.setattr(reporter, "_print", lambda lines: printed.extend(lines) is None)
    environment = TrialEnvironment("trial", 1, ("localhost:1",), "token")
    it = reporter.Reporter(environment)
    for value in (1.0, 2.0):
        it.add([("acc", value)], None)
    reports = [parse_report(OutputLine(line, 1, datetime.now(UTC)), 1) for line in printed]
    assert [report.value for report in reports if report is not None] == [1.0, 2.0]
