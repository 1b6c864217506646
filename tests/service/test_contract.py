"""The use cases' contract, in process and through the client: the same answers and the same errors."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from katib.api.client import ManagerClient
from katib.domain.collector import MetricsCollector, MetricsFormat
from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from katib.domain.metrics import Observation
from katib.domain.pod import PodSettings, Toleration
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Setting, StudyReason, StudySpec, StudyState
from katib.domain.trial import Tag, TrialState
from katib.domain.trial_columns import columns_of
from katib.manager.server import Manager
from katib.manager.service.completion import Completion
from katib.manager.service.service import ManagerService
from katib.manager.settings import Settings
from tests.e2e.harness import World, study, until, world

Api = ManagerService | ManagerClient
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
NOBODY = "a000000000000000"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Manager]]:
    with world(tmp_path_factory.mktemp("contract")) as it:
        it.suggestion("random")
        it.earlystopping("medianstopping")
        manager = Manager(
            Settings(
                listen=it.address,
                http="",
                database=f"sqlite:///{it.folder}/katib.db",
                data=it.folder,
                suggestion_address=f"unix:{it.sockets}/s-{{algorithm}}",
                earlystopping_address=f"unix:{it.sockets}/e-{{algorithm}}",
            )
        )
        manager.start()
        yield it, manager
        manager.stop()


@pytest.fixture(params=["in process", "through the client"])
def api(request: pytest.FixtureRequest, services: tuple[World, Manager]) -> Iterator[Api]:
    it, manager = services
    if request.param == "in process":
        yield manager.service
    else:
        with it.client() as client:
            yield client


def idle(name: str = "idle", **changes: object) -> StudySpec:
    """Driven by its client, so that nothing happens that the test does not do."""
    return study(name=name, algorithm="", **changes)


def observation(value: float, position: int, name: str = "acc", step: int | None = None) -> Observation:
    return Observation(name, value, NOW + timedelta(seconds=position), 1, "", position, step=step)


def complete(api: Api, study_id: str, trial_id: str, objective: float | None = None) -> None:
    if isinstance(api, ManagerClient):
        api.complete_trial(study_id, trial_id, objective)
    else:
        text = "" if objective is None else repr(objective)
        api.complete_trial(study_id, trial_id, Completion(is_complete=True, objective=text))


class TestService:
    @pytest.mark.long
    def test_what_was_created_is_what_is_got(self, api: Api) -> None:
        spec = replace(
            idle("all fields é🎉"),
            owner="me",
            goal=0.99,
            access_permissions=("a",),
            task_name="t",
            settings=(Setting("Seed", "1"),),
            early_stopping="none",
            tags=(Tag("k", "v"),),
            metrics=("loss",),
            image="i",
            gpu=2,
            scheduler="sched",
            pull_secret="p",
            working_dir="/w",
            parameters=(
                ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("1e-5", "0.030", step="0.001")),
                ParameterConfig("c", ParameterType.CATEGORICAL, FeasibleSpace(list=("yes", "no"))),
            ),
            limits=Limits(5, 2, 3, 1, timedelta(seconds=90), timedelta(hours=2, microseconds=5)),
            pod=PodSettings(
                namespace="team",
                labels={"kueue.x-k8s.io/queue-name": "gpus"},
                annotations={"note": "a\nb"},
                environment={"Z": "1", "A": ""},
                requests={"cpu": "500m"},
                limits={"memory": "8Gi"},
                node_selector={"disk": "ssd"},
                tolerations=(Toleration("gpu", "Exists", "", "NoExecute", 0), Toleration("spot", value="yes")),
                service_account="trainer",
                start_timeout=timedelta(hours=2),
                template='{"spec":{"containers":[]}}',
            ),
            collector=MetricsCollector(MetricsFormat.PATTERN, "(?P<value>.*)"),
        )
        detail = api.get_study(api.create_study(spec))
        # As in 0.1, the objective's name is appended to the metrics.
        assert detail.spec == replace(spec, metrics=("loss", "acc"))
        assert detail.best_trial is None
        summary = detail.summary
        assert (summary.state, summary.reason) == (StudyState.RUNNING, summary.reason)
        assert (summary.max_trials, summary.max_parallel, summary.trials) == (5, 2, 0)

    def test_a_refused_study_is_not_stored_and_every_violation_is_named(self, api: Api) -> None:
        before = len(api.list_studies(page_size=1000).items)
        bad = replace(
            idle(""),
            objective_name="a b",
            parameters=(ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("2", "1")),),
        )
        with pytest.raises(InvalidArgumentError) as caught:
            api.create_study(bad)
        assert {v.field for v in caught.value.violations} == {
            "study_config.name",
            "study_config.objective_value_name",
            "study_config.parameter_configs.configs[0].feasible.min",
        }
        assert len(api.list_studies(page_size=1000).items) == before

    def test_the_service_that_refuses_a_setting_says_which(self, api: Api) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            api.create_study(study(settings=(Setting("Sead", "1"),)))
        (violation,) = caught.value.violations
        assert violation.field.startswith("study_config.suggestion_parameters[0]")
        assert "Seed" in violation.expected

    def test_the_same_request_id_gives_the_same_study(self, api: Api) -> None:
        request_id = f"request-{type(api).__name__}"
        first = api.create_study(idle(), request_id)
        assert api.create_study(idle(), request_id) == first
        with pytest.raises(InvalidArgumentError) as caught:
            api.create_study(idle("another"), request_id)
        assert caught.value.violations[0].field == "request_id"

    def test_studies_are_found_by_name_and_prefix_and_paged(self, api: Api) -> None:
        name = f"paged-{type(api).__name__}"
        ids = [api.create_study(idle(name)) for _ in range(5)]
        assert [s.id for s in api.list_studies(name=name).items] == ids[::-1]
        assert [s.id for s in api.list_studies(id_prefix=ids[0][:12]).items] == [ids[0]]
        assert list(api.list_studies(id_prefix="../..").items) == []
        page = api.list_studies(name=name, page_size=2)
        rest = api.list_studies(name=name, page_size=10, page_token=page.next_token)
        assert [s.id for s in (*page.items, *rest.items)] == ids[::-1]
        assert rest.next_token == ""

    @pytest.mark.parametrize("token", ["x", "AAAA", "'; DROP TABLE studies; --", "🎉", "a" * 5000])
    def test_a_made_up_page_token_is_refused(self, api: Api, token: str) -> None:
        for call in (api.list_studies, api.list_trials):
            with pytest.raises(InvalidArgumentError) as caught:
                call(page_token=token)
            assert caught.value.violations[0].field == "page_token"

    def test_a_negative_page_size_is_refused(self, api: Api) -> None:
        with pytest.raises(InvalidArgumentError):
            api.list_studies(page_size=-1)

    @pytest.mark.parametrize("bad", [NOBODY, "nonsense", "a" * 300, "\x00", "../x"])
    def test_ids_that_are_not_there_are_not_found(self, api: Api, bad: str) -> None:
        for call in (
            api.get_study,
            api.stop_study,
            api.delete_study,
            api.update_study,
            api.get_trial,
            api.stop_trial,
            api.list_trials,
            api.list_observations,
            api.trial_log,
        ):
            with pytest.raises(NotFoundError):
                call(bad)
        with pytest.raises(NotFoundError):
            list(api.watch_study(bad))

    def test_an_empty_id_is_refused_by_the_name_of_its_field(self, api: Api) -> None:
        with pytest.raises(InvalidArgumentError) as caught:
            api.get_study("")
        assert caught.value.violations[0].field == "study_id"

    def test_reporting_twice_changes_nothing(self, api: Api) -> None:
        study_id = api.create_study(idle(metrics=("loss",)))
        (trial,), _ = api.suggest_trials(study_id)
        values = [observation(0.1, 1, step=10), observation(0.2, 2), observation(3.0, 3, "loss")]
        assert api.report_metrics(trial.id, values) is False
        revision = api.get_study(study_id).summary.revision
        api.report_metrics(trial.id, values[:2])
        detail = api.get_trial(trial.id)
        assert [(o.name, o.value, o.step) for o in detail.observations] == [
            ("acc", 0.1, 10),
            ("acc", 0.2, None),
            ("loss", 3.0, None),
        ]
        assert detail.trial.objective == 0.2
        assert api.get_study(study_id).summary.revision >= revision

    def test_a_study_that_would_end_at_once_again_is_not_resumed_and_keeps_its_end(self, api: Api) -> None:
        study_id = api.create_study(idle(limits={"max_trials": 1}))
        (trial,), _ = api.suggest_trials(study_id)
        complete(api, study_id, trial.id, 0.5)
        ended = until(lambda: s if (s := api.get_study(study_id).summary).state is StudyState.COMPLETED else None)
        with pytest.raises(FailedPreconditionError, match="1 trial has finished, and max_trials is 1; a higher one"):
            api.update_study(study_id, paused=False)
        for goal in (0.4, 0.9):
            changed = api.update_study(study_id, goal=goal)
            assert (changed.state, changed.ended_at) == (ended.state, ended.ended_at)
            assert changed.message.count("; it does not go on: ") == 1
        with pytest.raises(FailedPreconditionError, match="nothing to pause"):
            api.update_study(study_id, goal=0.3, paused=True)
        with pytest.raises(FailedPreconditionError, match="max_duration is over"):
            api.update_study(study_id, Limits(max_trials=2, max_duration=timedelta(milliseconds=1)), paused=False)
        assert api.update_study(study_id, Limits(max_trials=2)).state is StudyState.RUNNING
        assert len(api.suggest_trials(study_id)[0]) == 1

    def test_nan_and_infinities_are_values(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        values = [float("nan"), float("inf"), float("-inf"), 1.7976931348623157e308, 5e-324]
        api.report_metrics(trial.id, [observation(v, i + 1) for i, v in enumerate(values)])
        got = [o.value for o in api.get_trial(trial.id).observations]
        assert repr(got) == repr(values)

    def test_observations_without_a_number_are_refused(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        with pytest.raises(InvalidArgumentError) as caught:
            api.report_metrics(trial.id, [observation(1.0, 0)])
        assert caught.value.violations[0].field == "observations[0].sequence"
        assert api.get_trial(trial.id).observations == []

    def test_a_report_of_nothing_only_asks_whether_to_end(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        assert api.report_metrics(trial.id, []) is False
        assert api.report_metrics(trial.id, [], attempt=1) is False
        with pytest.raises(FailedPreconditionError):
            api.report_metrics(trial.id, [], attempt=2)
        complete(api, study_id, trial.id, 0.5)
        with pytest.raises(FailedPreconditionError):
            api.report_metrics(trial.id, [])

    def test_observations_are_paged_and_filtered(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        api.report_metrics(trial.id, [observation(float(i), i) for i in range(1, 8)])
        api.report_metrics(trial.id, [observation(0.0, 1, "loss")], reporter="other")
        page = api.list_observations(trial.id, names=("acc",), page_size=3)
        rest = api.list_observations(trial.id, names=("acc",), page_size=100, page_token=page.next_token)
        assert [o.value for o in (*page.items, *rest.items)] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]

    def test_a_finished_trial_is_frozen(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        complete(api, study_id, trial.id, 0.5)
        complete(api, study_id, trial.id, 0.5)
        done = api.get_trial(trial.id).trial
        assert (done.state, done.objective) == (TrialState.COMPLETED, 0.5)
        with pytest.raises(FailedPreconditionError):
            api.report_metrics(trial.id, [observation(0.9, 1)])
        api.stop_trial(trial.id)
        assert api.get_trial(trial.id).trial == done
        summary = api.get_study(study_id).summary
        assert (summary.best_trial_id, summary.best_objective, summary.completed) == (trial.id, 0.5, 1)

    def test_a_trial_without_any_value_cannot_be_completed(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        with pytest.raises(InvalidArgumentError) as caught:
            complete(api, study_id, trial.id)
        assert caught.value.violations[0].field == "objective_value"

    def test_trials_are_listed_by_number_and_newest_first(self, api: Api) -> None:
        study_id = api.create_study(idle(limits={"max_trials": 7}))
        made, _ = api.suggest_trials(study_id, 7, "me")
        assert [t.number for t in made] == [1, 2, 3, 4, 5, 6, 7]
        assert [t.id for t in api.list_trials(study_id).items] == [t.id for t in made]
        assert [t.number for t in api.list_trials(study_id, newest_first=True, page_size=2).items] == [7, 6]
        assert [t.number for t in api.list_trials(study_id, states=(TrialState.PENDING,)).items] == []
        page = api.list_trials(study_id, page_size=3)
        with pytest.raises(InvalidArgumentError):
            api.list_trials(page_size=3, page_token=page.next_token)

    def test_a_trial_is_found_by_its_number_without_the_others(self, api: Api) -> None:
        study_id = api.create_study(idle(limits={"max_trials": 7}))
        made, _ = api.suggest_trials(study_id, 7, "me")
        for newest_first in (False, True):
            assert api.list_trials(study_id, newest_first=newest_first, number=5).items[0].id == made[4].id
        for state, number, found in (
            (TrialState.RUNNING, 5, [5]),
            (TrialState.ERROR, 5, []),
            (TrialState.RUNNING, 8, []),
        ):
            assert [t.number for t in api.list_trials(study_id, states=(state,), number=number).items] == found
        for wrong in (lambda: api.list_trials(number=1), lambda: api.list_trials(study_id, number=-1)):
            with pytest.raises(InvalidArgumentError, match="number: "):
                wrong()

    def test_a_limit_that_is_no_limit_is_refused_by_its_name(self, api: Api) -> None:
        study_id = api.create_study(idle())
        with pytest.raises(InvalidArgumentError) as caught:
            api.update_study(study_id, Limits(max_trials=0))
        assert caught.value.violations[0].field == "max_trials"

    def test_a_stopped_study_stays_stopped_and_says_so(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        api.stop_study(study_id)
        api.stop_study(study_id)
        until(lambda: api.get_study(study_id).summary.state is StudyState.STOPPED)
        assert api.get_study(study_id).summary.reason == StudyReason.STOPPED_BY_USER
        assert api.get_trial(trial.id).trial.state is TrialState.KILLED
        with pytest.raises(FailedPreconditionError):
            api.suggest_trials(study_id)

    def test_a_deleted_study_is_not_found_any_more(self, api: Api) -> None:
        study_id = api.create_study(idle())
        (trial,), _ = api.suggest_trials(study_id)
        api.delete_study(study_id)

        def gone() -> bool:
            try:
                api.get_study(study_id)
            except NotFoundError:
                return True
            return False

        until(gone)
        with pytest.raises(NotFoundError):
            api.get_trial(trial.id)

    def test_the_trials_of_a_study_come_as_columns_page_by_page_and_then_those_that_change(self, api: Api) -> None:
        study_id = api.create_study(idle())
        first, _ = api.suggest_trials(study_id, 3)
        second, _ = api.suggest_trials(study_id, 4, client_id="another")
        complete(api, study_id, first[0].id, 0.25)
        complete(api, study_id, first[1].id, 0.75)
        parts, revision = [], 0
        while not parts or parts[-1].more:
            parts.append(api.trial_changes(study_id, revision, 1))
            revision = parts[-1].revision
        assert len(parts) > 2
        whole = api.trial_changes(study_id)
        assert [trial_id for part in parts for trial_id in part.trials.ids] == whole.trials.ids
        assert sorted(whole.trials.ids) == sorted(t.id for t in api.list_trials(study_id).items)
        assert whole.revision == whole.study.revision == api.get_study(study_id).summary.revision
        assert not whole.more
        ordered = [api.get_trial(trial_id).trial for trial_id in whole.trials.ids]
        assert whole.trials == columns_of(ordered)
        assert len(api.trial_changes(study_id, whole.revision).trials) == 0
        complete(api, study_id, second[0].id, 1.0)
        after = api.trial_changes(study_id, whole.revision)
        assert (after.trials.ids, after.trials.objectives) == ([second[0].id], [1.0])
        with pytest.raises(InvalidArgumentError, match="after_revision"):
            api.trial_changes(study_id, -1)
        with pytest.raises(NotFoundError):
            api.trial_changes(NOBODY)

    def test_who_has_seen_more_than_there_is_begins_anew(self, api: Api) -> None:
        """As of a database that was put back from a copy."""
        study_id = api.create_study(idle())
        api.suggest_trials(study_id, 2)
        whole = api.trial_changes(study_id)
        ahead = api.trial_changes(study_id, whole.revision + 5)
        assert (ahead.trials.ids, ahead.revision) == (whole.trials.ids, whole.revision)
        event = next(iter(api.watch_study(study_id, whole.revision + 5)))
        assert (sorted(t.id for t in event.trials), event.revision) == (sorted(whole.trials.ids), whole.revision)

    def test_watching_begins_with_everything_and_ends_with_the_study(self, api: Api) -> None:
        study_id = api.create_study(idle())
        api.suggest_trials(study_id, 2)
        events = api.watch_study(study_id)
        assert len(next(iter(events)).trials) == 2
        api.stop_study(study_id)
        assert list(events)[-1].study.state is StudyState.STOPPED
