"""What every test shares."""

import signal

from hypothesis import settings

# The examples' time depends on what else the machine does: only pytest's own time-out counts.
settings.register_profile("katib", deadline=None, print_blob=True)
settings.load_profile("katib")

# A job in a shell's background ignores interrupts, and so would every program that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
