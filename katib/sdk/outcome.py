"""What may become of reports that are sent. By itself, so that whoever buffers them need not load gRPC."""

from enum import Enum


class Outcome(Enum):
    TAKEN = "taken"
    STOP = "stop"  # taken, and the trial has been asked to end
    LATER = "later"  # try again
    REFUSED = "refused"  # this report never will be
    OVER = "over"  # the attempt is over: no report ever will be
    STRANGER = "stranger"  # nor here, but perhaps elsewhere
