"""Asks whether what is installed here has known vulnerabilities: pip-audit, at most once a day, and never in silence.

Its data is at a service that may be out of reach, as behind a mirror of the package index. Then nothing is known, which is said
loudly and is no failure. pip-audit itself calls a package that it could not look up no vulnerability.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

# Whoever runs the lint again and again is told the same; what is not known by then is known tomorrow.
VALID_S = 24 * 3600
# Each package is a request.
_AUDIT_S = 90
_REQUEST_S = 5
_STAMP = Path(sys.prefix) / ".audited"


@dataclass(frozen=True)
class Verdict:
    """`failed`: somebody has to do something."""

    failed: bool
    known: bool
    text: str


def judge(output: str) -> Verdict:
    """What pip-audit's JSON says."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Verdict(failed=False, known=False, text="")
    vulnerable = [
        f"{package['name']} {package['version']}: {found['id']}"
        f"{' (mended in ' + ', '.join(found['fix_versions']) + ')' if found.get('fix_versions') else ''}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    skipped = sum("skip_reason" in package for package in packages)
    asked = len(packages) - skipped
    # The checkout itself is on no index.
    known = asked > 0 and skipped <= 1
    if vulnerable:
        return Verdict(
            failed=True, known=known, text="\n".join(["KNOWN VULNERABILITIES in what is installed:", *vulnerable])
        )
    if known:
        return Verdict(failed=False, known=True, text=f"{asked} packages have no known vulnerability")
    return Verdict(failed=False, known=False, text=f"{skipped} of {len(packages)} packages could not be looked up")


def installed() -> str:
    return "\n".join(sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}))


def remembered(now: float) -> str | None:
    """What was said less than a day ago of the same packages; empty: that they are clean."""
    try:
        if now - _STAMP.stat().st_mtime >= VALID_S:
            return None
        said, _, packages = _STAMP.read_text().partition("\n")
    except OSError:
        return None
    return said if packages == installed() else None


def run() -> tuple[str, str]:
    """Its output, and why there is none."""
    command: Sequence[str] = [
        *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
        *("--timeout", str(_REQUEST_S), "--skip-editable"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_AUDIT_S, check=False)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {_AUDIT_S} s"
    return done.stdout, done.stderr.strip().rpartition("\n")[2][:300]


def main() -> int:
    said = remembered(time.time())
    if said is None:
        output, trouble = run()
        verdict = judge(output)
        if verdict.failed:
            print(verdict.text, file=sys.stderr)
            return 1
        said = "" if verdict.known else verdict.text or trouble
        _STAMP.write_text(f"{said}\n{installed()}")
    if said:
        print(
            f"VULNERABILITIES WERE NOT LOOKED UP: the service of pip-audit cannot be used from here ({said}). "
            "Run `make lint` where pypi.org can be reached.",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
