"""A study with an early-stopping rule, created and driven by a program."""

from collections.abc import Iterator
from typing import Any

import pytest

import katib
from katib.domain.trial import TrialReason
from tests.e2e.harness import World, until, world


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("pruning")) as it:
        it.suggestion("random")
        it.earlystopping("threshold")
        it.earlystopping("medianstopping")
        it.manager()
        yield it


def create(it: World, name: str, **changes: Any) -> katib.Study:
    arguments: dict[str, Any] = {"maximize": "acc", "max_trials": 2, "algorithm": "random", **changes}
    return katib.create_study(name, {"x": katib.Double(0, 1)}, server=it.address, **arguments)


@pytest.mark.long
def test_a_rule_stops_the_trials_of_a_loop_by_a_metric_beside_the_objective(it: World) -> None:
    study = create(
        it,
        "pruned",
        early_stopping="threshold",
        early_stopping_settings={"Metric": "loss", "Upper": 2.5},
        metrics=["loss"],
    )
    steps = {1: 0, 2: 0}
    for trial in study.trials():
        for epoch in range(1, 4):
            steps[trial.number] = epoch
            trial.report(acc=0.5, loss=epoch if trial.number == 1 else 0.1, step=epoch)
            if trial.number == 1 and epoch == 3:
                until(trial.should_stop)
            if trial.should_stop():
                break
    assert steps == {1: 3, 2: 3}
    assert [(r.state, r.reason) for r in study.results()] == [("KILLED", TrialReason.EARLY_STOPPED), ("COMPLETED", "")]


@pytest.mark.slow
def test_a_rule_or_a_setting_that_there_is_not_creates_no_study_and_is_told_as_it_was_written(it: World) -> None:
    with pytest.raises(katib.InvalidArgumentError, match=r"^early_stopping_settings\['Burn'\]: .*medianstopping knows"):
        create(it, "refused", early_stopping="medianstopping", early_stopping_settings={"Burn": 1})
    with pytest.raises(katib.InvalidArgumentError, match=r"^early_stopping: 'median': did you mean medianstopping\?"):
        create(it, "refused", early_stopping="median")
    with pytest.raises(katib.FailedPreconditionError, match=r"^early_stopping: 'percentile': no service answers"):
        create(it, "refused", early_stopping="percentile")
    with it.client() as client:
        assert not client.list_studies(name="refused").items


@pytest.mark.long
def test_a_study_with_another_rule_is_not_opened_in_the_place_of_the_one_that_was_meant(it: World) -> None:
    settings = {"LeastStep": 5, "BurnInPeriod": 1}
    rule = {"early_stopping": "medianstopping", "early_stopping_settings": settings, "exist_ok": True}
    study = create(it, "shared", **rule)
    # In whatever order they are written.
    for again in (settings, dict(reversed(settings.items()))):
        assert create(it, "shared", **{**rule, "early_stopping_settings": again}).id == study.id
    for changes, named in (
        ({"early_stopping": "threshold", "early_stopping_settings": {"Lower": 1}}, "is medianstopping, not threshold"),
        ({"early_stopping": "", "early_stopping_settings": None}, "is medianstopping, not none"),
        (
            {"early_stopping_settings": {"LeastStep": 6}},
            "setting is BurnInPeriod=1, LeastStep=5, not LeastStep=6",
        ),
    ):
        with pytest.raises(katib.InvalidArgumentError, match=named):
            create(it, "shared", **{**rule, **changes})
