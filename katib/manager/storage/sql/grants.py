"""What studies grant to whom, as lists look it up."""

from typing import Any, Final

from sqlalchemy import Select, insert, select

from katib.domain.permissions import grants_of
from katib.domain.study import Study
from katib.manager.storage.sql.session import Session
from katib.manager.storage.sql.statement import Statement, parameters
from katib.manager.storage.sql.tables import study_grants

_INSERT: Final = Statement(insert(study_grants))


def insert_grants(session: Session, study: Study) -> None:
    grants = grants_of(study.spec.owner, study.spec.access_permissions)
    rows = [{"study_id": study.id, "grantee": name, "access": int(access)} for name, access in grants.items()]
    session.write_all(_INSERT, rows)


def granted(count: int) -> "Select[Any]":
    """The ids of the studies that grant something to one of so many: see `grantee_values`."""
    return select(study_grants.c.study_id).where(study_grants.c.grantee.in_(parameters("grantee", count)))


def grantees_in(visible_to: frozenset[str] | None) -> int | None:
    """None: no condition."""
    return None if visible_to is None else len(visible_to)


def grantee_values(visible_to: frozenset[str] | None) -> dict[str, Any]:
    return {f"grantee{i}": grantee for i, grantee in enumerate(visible_to or ())}
