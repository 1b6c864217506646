"""What every test shares."""

from hypothesis import settings

# The examples' time depends on what else the machine does: only pytest's own time-out counts.
settings.register_profile("katib", deadline=None, print_blob=True)
settings.load_profile("katib")
