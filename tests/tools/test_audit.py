"""What tools/audit.py makes of pip-audit's answers; those here are as it gives them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[2] / "tools" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


CLEAN = {"name": "click", "version": "8.2", "vulns": []}
SKIPPED = {"name": "katib", "skip_reason": "distribution marked as editable"}
WEAK = {
    "name": "urllib3",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2023-192", "fix_versions": ["1.26.17"], "aliases": [], "description": "…"}],
}


def test_what_was_looked_up_and_is_clean_passes(audit: ModuleType) -> None:
    verdict = audit.judge(answer(CLEAN, CLEAN, SKIPPED))
    assert (verdict.failed, verdict.known) == (False, True)


def test_a_vulnerability_fails_and_is_named_with_what_mends_it(audit: ModuleType) -> None:
    verdict = audit.judge(answer(CLEAN, WEAK, SKIPPED))
    assert verdict.failed
    assert "urllib3 1.0: PYSEC-2023-192 (mended in 1.26.17)" in verdict.text
    assert audit.judge(answer(WEAK, *[SKIPPED] * 9)).failed


@pytest.mark.parametrize("output", ["", "no", "[]", answer(), answer(*[SKIPPED] * 5), answer(CLEAN, *[SKIPPED] * 5)])
def test_what_could_not_be_looked_up_is_not_taken_for_clean(audit: ModuleType, output: str) -> None:
    verdict = audit.judge(output)
    assert (verdict.failed, verdict.known) == (False, False)
