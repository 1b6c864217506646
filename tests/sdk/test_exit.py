"""A program that ends while it has a trial: it ends soon, and the trial is nobody's secret."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import katib
from katib.api.client import ManagerClient
from katib.domain.trial import TrialReason
from tests.e2e.harness import World, world

# What a program may take to start, ask and end, on a busy machine; nothing is hidden in it, as a hang has no end.
ENDS_S = 60
BEGIN = """
import os, random, signal, sys, threading, time
import katib
study = katib.open_study(sys.argv[2], server=sys.argv[1])
"""


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("exit")) as it:
        it.suggestion("random")
        it.manager()
        yield it


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments = {"max_trials": 5, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, maximize="acc", server=it.address, **arguments)


def start(it: World, study: katib.Study, text: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-W", "error", "-c", BEGIN + text, it.address, study.id]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(program: "subprocess.Popen[str]") -> tuple[int, str]:
    try:
        _, said = program.communicate(timeout=ENDS_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.communicate()
        raise
    return program.returncode, said


def states(study: katib.Study) -> list[tuple[str, str]]:
    return [(r.state, r.reason) for r in study.results()]


HELD = "trials = study.trials(); trial = next(trials); trial.report(acc=0.5)\n"
GIVEN_UP = ("KILLED", TrialReason.ABANDONED)
WAYS = {
    "an iterator in a variable": (HELD, [GIVEN_UP]),
    "two trials of it": (HELD + "trial = next(trials); trial.report(acc=0.5)", [("COMPLETED", ""), GIVEN_UP]),
    "a loop that was broken": (
        "trials = study.trials()\nfor trial in trials:\n  trial.report(acc=0.5)\n  break",
        [GIVEN_UP],
    ),
    "a sign under way": (HELD + "trial.should_stop(); time.sleep(2.5); trial.report(acc=0.75)", [GIVEN_UP]),
    "an object that refers to itself": (
        "class Run: pass\nrun = Run(); run.me = run; run.trials = study.trials(); next(run.trials).report(acc=0.5)",
        [GIVEN_UP],
    ),
    "a thread of its own": (
        "def work():\n  for trial in study.trials():\n    trial.report(acc=0.5); begun.set(); time.sleep(600)\n"
        "begun = threading.Event(); threading.Thread(target=work, daemon=True).start(); begun.wait(60)",
        [GIVEN_UP],
    ),
    "a trial that is completed": (HELD + "trial.complete()", [("COMPLETED", "")]),
    "a handler at its end that completes the trial": (
        HELD + "import atexit; atexit.register(trial.complete)",
        [("COMPLETED", "")],
    ),
    "a handler that was there before its first trial": (
        "import atexit\n@atexit.register\ndef finish():\n  trial.report(acc=0.75); trial.complete()\n" + HELD,
        [("COMPLETED", "")],
    ),
    "a child without it": (
        HELD + "child = os.fork()\nif child:\n  assert os.waitpid(child, 0)[1] == 0\n  trial.complete()",
        [("COMPLETED", "")],
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_ends_while_it_holds_its_iterator_ends_at_once_and_its_trial_with_it(
    it: World, way: str
) -> None:
    study = create(it, way)
    text, expected = WAYS[way]
    code, said = end(start(it, study, text))
    assert code == 0, said
    assert "Traceback" not in said
    assert states(study) == expected
    assert ("is given up: its loop was left" in said) is (GIVEN_UP in expected)


@pytest.mark.long
def test_an_exception_that_nobody_catches_ends_a_program_that_holds_its_iterator(it: World) -> None:
    study = create(it, "uncaught")
    code, said = end(start(it, study, HELD + "1 / 0"))
    assert code == 1
    assert "ZeroDivisionError" in said
    assert states(study) == [GIVEN_UP]


ENDLESS = """
for trial in TRIALS:
    print("begun", flush=True)
    while True:
        trial.report(acc=0.5)
        trial.should_stop()
        time.sleep(0.05)
"""


@pytest.mark.slow
@pytest.mark.parametrize("held", [True, False], ids=["in a variable", "in a loop"])
def test_a_program_that_is_interrupted_waits_no_longer_than_that_for_a_manager_that_is_frozen(
    tmp_path: Path, held: bool
) -> None:
    text = (
        f"trials = study.trials(){ENDLESS.replace('TRIALS', 'trials')}"
        if held
        else ENDLESS.replace("TRIALS", "study.trials()")
    )
    with world(tmp_path) as it:
        it.suggestion("random")
        manager = it.manager()
        program = start(it, create(it, "frozen"), text)
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        manager.popen.send_signal(signal.SIGSTOP)
        try:
            # A sign of life is under way.
            time.sleep(3.0)
            begin = time.monotonic()
            program.send_signal(signal.SIGINT)
            code, said = end(program)
            took = time.monotonic() - begin
        finally:
            manager.popen.send_signal(signal.SIGCONT)
    assert code == -signal.SIGINT, said
    assert "could not be ended" in said
    assert took < 8.5


class Interrupted:
    """A call after or before which Ctrl-C comes."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, *, answered: bool) -> None:
        real = getattr(ManagerClient, name)

        def call(client: ManagerClient, *arguments: Any) -> Any:
            patch.setattr(ManagerClient, name, real)
            if answered:
                real(client, *arguments)
            raise KeyboardInterrupt

        patch.setattr(ManagerClient, name, call)


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("how", ["for", "run"])
def test_an_interrupt_while_a_trial_is_completed_keeps_its_result_and_leaves_no_other_behind(
    it: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str, answered: bool
) -> None:
    study = create(it, f"interrupted {how} {answered}")

    def loop() -> None:
        if how == "run":
            study.run(lambda _trial: 0.5)
        for trial in study.trials():
            trial.report(acc=0.5)

    Interrupted(monkeypatch, "complete_and_ask", answered=answered)
    with pytest.raises(KeyboardInterrupt):
        loop()
    assert states(study) == [("COMPLETED", ""), GIVEN_UP]
    assert caplog.text == ""


@pytest.mark.parametrize("answered", [True, False])
def test_an_interrupt_while_a_trial_is_asked_for_leaves_none_behind(
    it: World, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    study = create(it, f"asked {answered}")
    Interrupted(monkeypatch, "suggest_trials", answered=answered)
    with pytest.raises(KeyboardInterrupt):
        next(study.trials())
    assert states(study) == [GIVEN_UP]


def test_an_interrupt_while_there_is_no_trial_to_be_had_asks_for_none(
    it: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = create(it, "nothing to be had", max_trials=1)
    with it.client() as client:
        client.suggest_trials(study.id, client_id="another")

        def wait(_lull: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("katib.sdk.lull.Lull.wait", wait)
        with pytest.raises(KeyboardInterrupt):
            next(study.trials())
        assert [r.state for r in study.results()] == ["RUNNING"]


@pytest.mark.slow
def test_a_real_interrupt_at_any_moment_leaves_no_trial_running(it: World) -> None:
    study = create(it, "any moment", max_trials=None)
    text = """
threading.Timer(random.uniform(0.0, 0.2), os.kill, (os.getpid(), signal.SIGINT)).start()
for trial in study.trials():
    trial.report(acc=trial["x"])
"""
    for _ in range(15):
        code, said = end(start(it, study, text))
        assert code == -signal.SIGINT, said
    assert {state for state, _ in states(study)} == {"COMPLETED", "KILLED"}
