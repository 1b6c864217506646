"""Completes one trial after the other and prints each one's id once that is stored, until it is killed.

python -m tests.storage.acknowledge URL STUDY
"""

import sys

from katib.manager.changes import StudyChanges
from katib.manager.storage.open import open_storage
from tests.storage.builders import COMPLETED, RUNNING, add, go, intake, move, observe


def main() -> None:
    url, study_id = sys.argv[1:]
    storage = open_storage(url)
    study = storage.get_study(study_id)
    while True:
        (trial,) = go(storage, *add(storage, study), to=RUNNING)
        changes = StudyChanges(intakes=(intake(trial, observe()),), moves=(move(trial, COMPLETED),))
        assert not storage.apply(study.id, changes).refused
        print(trial.id, flush=True)


if __name__ == "__main__":
    main()
