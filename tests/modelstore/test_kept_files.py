"""Which files retention removes of those in the place that a trial was given, and what becomes of those that it cannot."""

from pathlib import Path

import pytest

from katib.manager.keeper import Keeper
from katib.manager.modelstore.open import open_deliveries
from tests.modelstore.keeping import QUICK, end, files, keeper, kept, new_study, storage, store, worker

__all__ = ["keeper", "storage", "store", "worker"]


@pytest.mark.parametrize("retention", ["best:1", "none"])
@pytest.mark.parametrize(
    "says",
    [
        "{place}",
        "{place}/weights",
        "{place}/../model/weights",
        "{place}/..",
        "file://{place}/a%20file",
        "../model/weights",
    ],
)
def test_what_a_program_names_itself_stays_in_the_place_that_it_was_given_too(
    storage, store, worker, keeper, says, retention
):
    study = new_study(storage, keep_models=retention)
    (named,) = end(storage, worker, study, 0.25, says=says)
    end(storage, worker, study, 0.1)
    (best,) = end(storage, worker, study, 0.5)
    keeper.keep(storage.get_study(study.id))
    assert set(kept(store)) == ({3} if retention == "best:1" else set())
    assert files(worker, study) == sorted([named.run] + [best.run] * (retention == "best:1"))


def test_what_a_program_names_itself_is_known_by_another_name_of_its_folder(storage, store, worker, keeper, tmp_path):
    (tmp_path / "link").symlink_to(worker._data)
    study = new_study(storage, keep_models="best:1")
    says = f"{tmp_path}/link/runs/{study.id}"
    (named,) = end(storage, worker, study, 0.25, says=says)
    (best,) = end(storage, worker, study, 0.5)
    keeper.keep(storage.get_study(study.id))
    assert files(worker, study) == sorted([named.run, best.run])


@pytest.mark.parametrize("says", ["s3://models/1", "/somewhere/else", "{place}s", "file:///model"])
def test_what_lies_elsewhere_keeps_nothing_in_the_place_that_the_trial_was_given(storage, store, worker, keeper, says):
    study = new_study(storage, keep_models="best:1")
    end(storage, worker, study, 0.25, says=says)
    (best,) = end(storage, worker, study, 0.5)
    keeper.keep(storage.get_study(study.id))
    assert files(worker, study) == [best.run]


def test_a_defect_over_one_model_holds_up_no_other_and_is_tried_again(storage, store, worker, keeper, caplog):
    study = new_study(storage, keep_models="best:1")
    first, _, best = end(storage, worker, study, 0.25, 0.1, 0.5)

    class Faulty:
        def __getattr__(self, name):
            return getattr(worker, name)

        def remove_model(self, study_id, path):
            if Path(path).parent.name == first.run:
                raise RecursionError("maximum recursion depth exceeded")
            worker.remove_model(study_id, path)

    Keeper(storage, store, open_deliveries(storage), Faulty(), pace=QUICK).keep(storage.get_study(study.id))
    assert files(worker, study) == sorted([first.run, best.run])
    assert set(kept(store)) == {1, 3}
    (record,) = (r for r in caplog.records if "cannot be removed: maximum recursion depth" in r.getMessage())
    assert record.exc_info is not None
    (better,) = end(storage, worker, study, 0.75)
    keeper.keep(storage.get_study(study.id))
    assert files(worker, study) == [better.run]
