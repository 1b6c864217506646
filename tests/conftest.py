"""What every test shares."""

import os
import signal

from hypothesis import HealthCheck, settings

# The examples' time depends on what else the machine does: only pytest's own time-out counts.
# How fast inputs are made depends on what else the machine does.
settings.register_profile(
    "katib", deadline=None, print_blob=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
# In CI there is time for all of them, and for those that nobody waits for.
settings.register_profile("ci", settings.get_profile("katib"), max_examples=100)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "katib")

# A job in a shell's background ignores interrupts, and so would every program that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
