"""What trials have reported, put into a question while it is read: as objects a long study would take gigabytes, and what no
message can hold is not read to its end."""

from collections.abc import Iterable, Sequence
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.channel import MAX_MESSAGE_BYTES
from katib.api.errors import MessageTooLargeError
from katib.api.trial_converters import logs_to_proto
from katib.domain.metrics import Observation

# What a value takes on the wire beside the name of its metric, at most: its time, itself with all digits, its step, and what
# tells these apart.
OF_A_VALUE: Final = 80


def add_curves(
    question: pb.GenerateTrialsRequest | pb.ShouldTrialStopRequest, curves: Iterable[tuple[str, Sequence[Observation]]]
) -> None:
    """To the trials of the question. Raises MessageTooLargeError as soon as it has more than a message may."""
    trials = {trial.trial_id: trial for trial in (*question.running_trials, *question.completed_trials)}
    size = question.ByteSize()
    for trial_id, observations in curves:
        piece = pb.Trial(eval_logs=logs_to_proto(observations))
        size += piece.ByteSize()
        if size > MAX_MESSAGE_BYTES:
            raise MessageTooLargeError(size, MAX_MESSAGE_BYTES, whole=False)
        trials[trial_id].MergeFrom(piece)
