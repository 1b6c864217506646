"""What the manual says about Pods is so."""

import re
from pathlib import Path

from katib.domain.study_checks import check_study
from katib.domain.study_file import parse_study
from katib.domain.trial import TrialReason
from katib.worker.base import RunPhase
from katib.worker.kubernetes.diagnosis import diagnose_pod
from katib.worker.kubernetes.marks import DriverReason
from katib.worker.kubernetes.pods import check_pod, make_pod
from katib.worker.kubernetes.policy import OPTIONS, Policy, Waits
from katib.worker.kubernetes.reasons import PodReason
from tests.worker.kubernetes.pods import run_of
from tests.worker.kubernetes.statuses import PULLING, at, container, pod, terminated, waiting

MANUAL = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text()
POLICY = Policy(namespace="katib")


def named_in(section: str) -> set[str]:
    """The reasons in the first column of a section's table."""
    table = MANUAL.split(f"## {section}")[1].split("\n## ")[0]
    return {word for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)}


def test_its_studies_run() -> None:
    text, template = re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL)
    for study in (text, text.partition("pod:")[0] + template):
        spec = parse_study(study).spec
        check_study(spec)
        assert check_pod(spec, POLICY) == []
        found = make_pod(run_of(spec, ("--lr=0.01",)), POLICY)
        assert found["spec"]["containers"][0]["args"] == ["--lr=0.01"]


def test_it_explains_every_reason_and_no_other() -> None:
    ours = {value for words in (PodReason, DriverReason) for name, value in vars(words).items() if name.isupper()}
    shared = {TrialReason.EXIT_CODE, TrialReason.SIGNAL, TrialReason.START_FAILED, TrialReason.DEADLINE_EXCEEDED}
    waits, ends = named_in("Why does my trial not run?"), named_in("Why did it end?")
    assert waits | ends == ours | shared
    assert waits & ends == set()


def test_its_tables_tell_waiting_from_ended() -> None:
    waits = diagnose_pod(pod("Pending", container(waiting("ErrImagePull")), conditions=PULLING), at(1), Waits())
    ended = diagnose_pod(pod("Failed", container(terminated(1))), at(1), Waits())
    assert (waits.phase, ended.phase) == (RunPhase.WAITING, RunPhase.FAILED)
    assert waits.reason in named_in("Why does my trial not run?")
    assert ended.reason in named_in("Why did it end?")


def test_the_options_that_it_names_are_there() -> None:
    known = {row.name for row in OPTIONS.rows}
    assert set(re.findall(r"`(wait_\w+|keep\w*)`", MANUAL)) <= known
    # Each way of waiting is given up after something that an operator can set.
    table = MANUAL.split("## Why does my trial not run?")[1].split("\n## ")[0]
    assert {f"wait_{name}" for name in Waits.__slots__ if name not in ("total", "gone")} <= set(
        re.findall(r"`(wait_\w+)`", table)
    )
