"""Between the wire's messages and the domain's types: trials as columns."""

from collections.abc import Sequence
from typing import TypeVar

from katib.api import api_pb2 as pb
from katib.api.study_converters import summary_from_proto, summary_to_proto
from katib.api.trial_converters import trial_state_from_proto, trial_state_to_proto
from katib.domain.trial import TrialState
from katib.domain.trial_columns import TrialChanges, TrialColumns

T = TypeVar("T")


def changes_to_proto(changes: TrialChanges) -> pb.ListTrialColumnsReply:
    return pb.ListTrialColumnsReply(
        study=summary_to_proto(changes.study), trials=columns_to_proto(changes.trials), revision=changes.revision
    )


def changes_from_proto(message: pb.ListTrialColumnsReply) -> TrialChanges:
    return TrialChanges(summary_from_proto(message.study), columns_from_proto(message.trials), message.revision)


def columns_to_proto(trials: TrialColumns) -> pb.TrialColumns:
    places = {reason: place for place, reason in enumerate(dict.fromkeys(trials.reasons))}
    states = {state: trial_state_to_proto(state) for state in TrialState}
    return pb.TrialColumns(
        trial_ids=trials.ids,
        numbers=trials.numbers,
        statuses=[states[state] for state in trials.states],
        attempts=trials.attempts,
        objectives=[0.0 if value is None else value for value in trials.objectives],
        without_objective=_absent(trials.objectives),
        reasons=[pb.TrialReason(reason=reason, message=message) for reason, message in places],
        reason_places=[places[reason] for reason in trials.reasons],
        create_times=trials.created,
        start_times=[time or 0 for time in trials.started],
        end_times=[time or 0 for time in trials.ended],
        parameters=[
            pb.ParameterColumn(name=name, values=[value or "" for value in values], without_value=_absent(values))
            for name, values in trials.parameters.items()
        ],
    )


def columns_from_proto(message: pb.TrialColumns) -> TrialColumns:
    states = {number: trial_state_from_proto(number, "trials.statuses") for number in set(message.statuses)}
    reasons = [(reason.reason, reason.message) for reason in message.reasons]
    return TrialColumns(
        ids=list(message.trial_ids),
        numbers=list(message.numbers),
        states=[states[number] for number in message.statuses],
        attempts=list(message.attempts),
        objectives=_without(message.objectives, message.without_objective),
        reasons=[reasons[place] for place in message.reason_places],
        created=list(message.create_times),
        started=[time or None for time in message.start_times],
        ended=[time or None for time in message.end_times],
        parameters={column.name: _without(column.values, column.without_value) for column in message.parameters},
    )


def _absent(values: Sequence[object]) -> list[int]:
    return [place for place, value in enumerate(values) if value is None]


def _without(values: Sequence[T], places: Sequence[int]) -> list[T | None]:
    found: list[T | None] = list(values)
    for place in places:
        found[place] = None
    return found
