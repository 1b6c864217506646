"""Trials as columns."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from katib.api import api_pb2 as pb
from katib.api.column_converters import columns_from_proto, columns_to_proto
from katib.domain.parameters import Parameter, ParameterType
from katib.domain.trial import Trial, TrialState
from katib.domain.trial_columns import columns_of

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
LR, NET = Parameter("lr", ParameterType.DOUBLE, "0.10000000000000001"), Parameter("net", ParameterType.CATEGORICAL, "")
FIRST = Trial("a000000000000001", "b000000000000001", 1, 1, TrialState.PENDING, (LR, NET), NOW, 1)
SECOND = replace(
    FIRST, id="a000000000000002", number=2, attempt=3, state=TrialState.COMPLETED, objective=0.0, parameters=(LR,)
)
SECOND = replace(SECOND, started_at=NOW, ended_at=NOW + timedelta(microseconds=1), reason="R", message="m")
THIRD = replace(SECOND, id="a000000000000003", number=3, parameters=(), objective=float("-inf"))
TRIALS = [FIRST, SECOND, THIRD]


def test_a_place_in_each_column_is_a_trial() -> None:
    columns = columns_of(TRIALS)
    assert len(columns) == 3
    assert columns.ids == [t.id for t in TRIALS]
    assert columns.reasons == [("", ""), ("R", "m"), ("R", "m")]
    assert columns.ended == [None, columns.created[0] + 1, columns.created[0] + 1]
    assert columns.parameters == {"lr": [LR.value, LR.value, None], "net": ["", None, None]}


def test_the_wire_keeps_what_is_empty_apart_from_what_is_not_there() -> None:
    columns = columns_of(TRIALS)
    sent = pb.TrialColumns.FromString(columns_to_proto(columns).SerializeToString())
    assert columns_from_proto(sent) == columns
    assert len(sent.reasons) == 2
    assert columns_from_proto(pb.TrialColumns()) == columns_of([])
