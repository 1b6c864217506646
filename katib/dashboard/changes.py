"""The trials of a study that are new or changed, page by page from the manager."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from katib.api.client import ManagerClient
from katib.domain.errors import DeadlineExceededError, ResourceExhaustedError, UnavailableError
from katib.domain.trial_columns import TrialChanges

# For one answer to a browser: a second's worth on a busy machine, and not much longer on one that is busier still.
_ENOUGH: Final = 20_000
_ENOUGH_S: Final = 2.0
# As many as the manager gives at once; and fewer of many parameters, as an answer has a largest size.
_PAGE: Final = 1000
_LEAST_PAGE: Final = 50
_VALUES: Final = 20_000


def changes_of(client: ManagerClient, study_id: str, after: int, parameters: int) -> Iterator[TrialChanges]:
    """Those after the revision `after`: at least one page, of all of them or as many as one answer has or there is time for;
    the last one says whether there are more. The manager finds the next page while one is worked on."""
    began = time.monotonic()
    # By its values too: they are held whole.
    enough = min(_ENOUGH, 20 * _VALUES // max(parameters, 1))
    size = min(max(_VALUES // max(parameters, 1), _LEAST_PAGE), _PAGE)
    change = client.trial_changes(study_id, after, size)
    if not change.more:
        yield change
        return
    count = 0
    with ThreadPoolExecutor(1) as ahead:
        while True:
            count += len(change.trials)
            if not change.more or count >= enough or time.monotonic() - began >= _ENOUGH_S:
                yield change
                return
            coming = ahead.submit(client.trial_changes, study_id, change.revision, size)
            yield change
            try:
                change = coming.result()
            except (DeadlineExceededError, UnavailableError, ResourceExhaustedError):
                # The page asks for the others.
                return
