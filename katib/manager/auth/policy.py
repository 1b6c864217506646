"""Which call takes what of its caller: the one table of it.

The guard goes by it, docs/security.md shows it, and a test tries every pair of a call and a kind of caller against a running
manager.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from katib.domain.caller import Role
from katib.domain.permissions import Access


class About(Enum):
    """What a request names, and so what is looked at before it is answered."""

    NOTHING = "nothing"
    STUDY = "study_id"
    TRIAL = "trial_id"
    # Of one study where it names one; else what the caller may see of all.
    STUDY_OR_ALL = "study_id, or every study"
    # What belongs to the caller, or what it may see: the use case looks.
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Rule:
    """`needs`: what the caller must be to the study. `role`: which role it must have where no study is named. `trial`: whether
    an attempt's token is enough, for its own attempt. `active`: a token that only reads is not enough. `changes`: it leaves an
    event in the audit log."""

    about: About
    needs: Access = Access.NONE
    role: Role | None = None
    trial: bool = False
    active: bool = False
    also: str = ""
    changes: bool = False


POLICY: Final[Mapping[str, Rule]] = {
    "CreateStudy": Rule(About.NOTHING, role=Role.USER, also="becomes the study's owner", changes=True),
    "GetStudies": Rule(About.OWN, also="sees the studies that it may read"),
    "ListStudies": Rule(About.OWN, also="sees the studies that it may read"),
    "GetStudy": Rule(About.STUDY, Access.READ),
    "WatchStudy": Rule(About.STUDY, Access.READ),
    "UpdateStudy": Rule(About.STUDY, Access.OPERATE, changes=True),
    "StopStudy": Rule(About.STUDY, Access.OPERATE, changes=True),
    "DeleteStudy": Rule(About.STUDY, Access.OWN, changes=True),
    "ListTrials": Rule(
        About.STUDY_OR_ALL, Access.READ, also="without a study, sees the trials of those that it may read"
    ),
    "ListTrialColumns": Rule(About.STUDY, Access.READ),
    "GetTrial": Rule(About.TRIAL, Access.READ),
    "ListObservations": Rule(About.TRIAL, Access.READ),
    "GetTrialLog": Rule(About.TRIAL, Access.READ),
    "StopTrial": Rule(About.TRIAL, Access.OPERATE, changes=True),
    # What it adds says itself by whom, when and of what, and a busy study adds thousands a second.
    "ReportMetrics": Rule(About.TRIAL, Access.WRITE, trial=True),
    "SuggestTrials": Rule(About.STUDY, Access.WRITE, changes=True),
    "CompleteTrial": Rule(About.STUDY, Access.WRITE, changes=True),
    "EarlyStopping": Rule(About.STUDY, Access.READ),
    "InitializeSuggestService": Rule(About.STUDY_OR_ALL, Access.WRITE, role=Role.USER),
    "ListAlgorithms": Rule(About.NOTHING),
    "GetObjectValue": Rule(About.NOTHING, also="is told that it never worked"),
    "AddMeasurementToTrials": Rule(About.NOTHING, also="is told that it never worked"),
    "SaveStudy": Rule(
        About.OWN,
        role=Role.USER,
        also="becomes the saved study's owner; one that is there is its owner's",
        changes=True,
    ),
    "SaveModel": Rule(
        About.OWN,
        role=Role.USER,
        also="for a trial, as its study's writer; else as the saved study's owner",
        changes=True,
    ),
    "GetSavedStudies": Rule(About.OWN, also="sees its own, and those with a model that it may read"),
    "GetSavedModels": Rule(
        About.OWN, also="sees those of studies that it may read, and the rest of its own saved studies"
    ),
    "GetSavedModel": Rule(About.OWN, also="as GetSavedModels"),
    "WhoAmI": Rule(About.NOTHING),
    "CreateToken": Rule(
        About.OWN,
        active=True,
        also="for itself, with no more roles and groups than it has, and no longer than it is good",
        changes=True,
    ),
    "ListTokens": Rule(About.OWN, also="sees its own"),
    "RevokeToken": Rule(About.OWN, active=True, also="its own", changes=True),
}

_WHO: Final = {
    Access.READ: "reader, writer, operator, owner; roles `viewer`, `operator`, `admin`",
    Access.WRITE: "writer, operator, owner; roles `operator`, `admin`",
    Access.OPERATE: "operator, owner; roles `operator`, `admin`",
    Access.OWN: "owner; role `admin`",
}

_ACTIVE: Final = "role `user`, `operator` or `admin`"


def table() -> str:
    """In Markdown, for docs/security.md."""
    lines = ["| call | who |", "| --- | --- |"]
    for name, rule in POLICY.items():
        if rule.needs is not Access.NONE:
            who = _WHO[rule.needs]
        else:
            who = f"role `{rule.role.value}` or `admin`" if rule.role else _ACTIVE if rule.active else "every caller"
        if rule.needs is not Access.NONE and rule.role:
            who += f"; without a study, role `{rule.role.value}` or `admin`"
        if rule.trial:
            who += "; the program of the attempt itself, by its token"
        lines.append(f"| `{name}` | {who}{'; ' + rule.also if rule.also else ''} |")
    return "\n".join(lines)
