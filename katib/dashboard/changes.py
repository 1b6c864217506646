"""The trials of a study that are new or changed, page by page from the manager."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from katib.api.client import ManagerClient
from katib.domain.errors import DeadlineExceededError
from katib.domain.trial_columns import TrialChanges

# For one answer to a browser: a second's worth on a busy machine.
_ENOUGH: Final = 20_000
# As many as the manager gives at once.
_PAGE: Final = 1000


def changes_of(client: ManagerClient, study_id: str, after: int) -> Iterator[TrialChanges]:
    """Those after the revision `after`: at least one page, of all of them or as many as one answer has or there is time for;
    the last one says whether there are more. The manager finds the next page while one is worked on."""
    change = client.trial_changes(study_id, after, _PAGE)
    if not change.more:
        yield change
        return
    count = 0
    with ThreadPoolExecutor(1) as ahead:
        while True:
            count += len(change.trials)
            if not change.more or count >= _ENOUGH:
                yield change
                return
            coming = ahead.submit(client.trial_changes, study_id, change.revision, _PAGE)
            yield change
            try:
                change = coming.result()
            except DeadlineExceededError:
                # The page asks for the others.
                return
