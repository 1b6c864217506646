"""Use cases of studies: create, look, change, stop, delete."""

import hashlib
import logging
import math
from dataclasses import fields, replace
from typing import Any, Final

from katib.domain.caller import EVERYBODY, Caller, current_caller
from katib.domain.collector import MetricsReader
from katib.domain.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
    violation,
)
from katib.domain.names import is_id_prefix, new_id
from katib.domain.nearest import advice
from katib.domain.permissions import check_permissions, visible_to
from katib.domain.study import (
    PAUSED_MESSAGE,
    Intent,
    Limits,
    Study,
    StudyReason,
    StudySpec,
    StudyState,
    with_effective_settings,
)
from katib.domain.study_checks import MAX_STUDY_NAME, check_limits, check_study
from katib.domain.views import Page, ServiceKind, StudyDetail, StudySummary, summary
from katib.manager.patterns import check_sdk_pattern, compile_pattern
from katib.manager.ports import StudyFilter
from katib.manager.service.checks import MAX_REQUEST_ID, label_of, page_size_of, study_id_of
from katib.manager.service.context import UseCases
from katib.manager.service.ends import why_over
from katib.manager.service.patience import Asked, Reply
from katib.manager.service.same import difference
from katib.manager.service_ports import History

_log: Final = logging.getLogger(__name__)

# How long a service may take to accept a study's settings while its user waits.
ACCEPT_S: Final = 20.0
# In the message of a study that has ended and was changed: why it does not go on.
STAYS: Final = "; it does not go on: "


class StudyUseCases(UseCases):
    def create_study(self, spec: StudySpec, request_id: str = "", deadline: float = math.inf) -> str:
        """Checks, asks the services, stores and starts; returns the id. A refusal stores nothing.

        `deadline`: until when the caller waits, by the monotonic clock.
        """
        label_of("request_id", request_id, MAX_REQUEST_ID)
        caller = current_caller()
        request_id = _own_request(caller, request_id)
        if request_id and (known := self._storage.find_request(request_id)) is not None:
            return self._same(known, spec)
        spec = self._owned(caller, spec)
        check_study(spec)
        if spec.collector.pattern:
            field = "study_config.metrics_collector.pattern"
            compile_pattern(spec.collector.pattern, field)
            if spec.collector.reader is MetricsReader.SDK:
                check_sdk_pattern(spec.collector.pattern, field)
        if not spec.client_driven:
            refused = self._context.worker.check(spec)
            if refused:
                raise InvalidArgumentError(replace(v, field=f"study_config.{v.field}") for v in refused)
        # 0.1 appended the objective's name to the metrics; its clients read it there.
        spec = replace(spec, metrics=(*(m for m in spec.metrics if m != spec.objective_name), spec.objective_name))
        study_id = new_id()
        history = self._accepted(study_id, spec, deadline)
        study = Study(
            id=study_id,
            spec=spec,
            state=StudyState.RUNNING,
            created_at=self._context.now(),
            revision=1,
            manager=self._context.controller.manager_id,
            placement="" if spec.client_driven else self._context.worker.placement,
            request_id=request_id,
            places=() if spec.client_driven else tuple(self._context.worker.places(study_id, spec)),
        )
        quotas = self._room.quotas
        stored = self._storage.create_study(
            study, quotas.studies, 0 if caller is EVERYBODY else quotas.studies_of_owner
        )
        if stored.id != study.id:
            return self._same(stored, spec)
        _log.info("study created", extra={"study_id": study.id, "study": spec.name, "algorithm": spec.algorithm})
        self._context.controller.created(stored, history)
        return stored.id

    def _owned(self, caller: Caller, spec: StudySpec) -> StudySpec:
        """With its owner, and in a namespace where the owner's Pods may go."""
        if caller is EVERYBODY:
            return spec
        owner = spec.owner or caller.name
        if owner != caller.name and not caller.unrestricted:
            raise InvalidArgumentError.of(
                "study_config.owner", owner, f"expected {caller.name} or nothing: a study is owned by who creates it"
            )
        found = check_permissions("study_config.access_permissions", spec.access_permissions)
        if found:
            raise InvalidArgumentError(found)
        namespace = self._context.namespaces.choose(caller, spec.pod.namespace)
        return replace(spec, owner=owner, pod=replace(spec.pod, namespace=namespace))

    def _same(self, known: Study, spec: StudySpec) -> str:
        """A request id that was used before: the study if it is the same one, an error if it is another."""
        other = difference(known.spec, spec)
        if other:
            raise InvalidArgumentError.of(
                "request_id",
                known.request_id.rpartition("/")[2],
                f"expected a new one: study {known.id} was created with it, and {other}",
            )
        return known.id

    def _accepted(self, study_id: str, spec: StudySpec, deadline: float) -> History | None:
        """Asks the services to accept the settings, both at once."""
        context = self._context
        asked = replace(spec, settings=with_effective_settings(spec))
        suggestion = None
        if not spec.client_driven:
            suggestion = context.patience.ask(
                lambda: context.suggestions.set_parameters(spec.algorithm, study_id, asked),
                f"suggestion-{spec.algorithm}",
                ACCEPT_S,
                deadline,
            )
        rule = None
        if spec.rule:
            rule = context.patience.ask(
                lambda: context.rules.set_parameters(spec.rule, study_id, spec),
                f"earlystopping-{spec.rule}",
                ACCEPT_S,
                deadline,
            )
        history = None
        if suggestion is not None:
            history = self._answer(suggestion, ServiceKind.SUGGESTION, "suggest_algorithm", spec.algorithm)
        if rule is not None:
            self._answer(rule, ServiceKind.EARLY_STOPPING, "early_stopping_algorithm", spec.rule)
        return history

    def _answer(self, asked: "Asked[Reply]", kind: ServiceKind, field: str, value: str) -> Reply:
        """A service's yes, or its no as the caller of CreateStudy should see it."""
        service = asked.who
        try:
            return asked.answer()
        except (UnavailableError, DeadlineExceededError) as error:
            remedy = advice(value, self._context.directory.names(kind))
            raise FailedPreconditionError(
                f"study_config.{field}: {value!r}: no service answers as {service} ({error.message}); {remedy}"
            ) from error
        except InvalidArgumentError:
            raise
        except (UnimplementedError, NotFoundError, InternalError) as error:
            raise FailedPreconditionError(f"{service} does not accept the study: {error.message}") from error
        except KatibError as error:
            raise FailedPreconditionError(f"{service} refuses the study: {error.message}") from error

    def get_study(self, study_id: str) -> StudyDetail:
        study = self._storage.get_study(study_id_of(study_id))
        best = self._storage.get_trial(study.best_trial_id) if study.best_trial_id else None
        return StudyDetail(summary(study), study.spec, best)

    def list_studies(
        self,
        name: str = "",
        id_prefix: str = "",
        states: tuple[StudyState, ...] = (),
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[StudySummary]:
        size = page_size_of(page_size)
        if len(name) > MAX_STUDY_NAME or (id_prefix and not is_id_prefix(id_prefix)):
            # Nothing can have such a name or id.
            return Page(())
        filter_ = StudyFilter(name, id_prefix, frozenset(states), visible_to(current_caller()))
        page = self._storage.list_studies(filter_, size, page_token)
        return Page([summary(s) for s in page.items], page.next_token)

    def update_study(
        self, study_id: str, limits: Limits | None = None, goal: float | None = None, paused: bool | None = None
    ) -> StudySummary:
        """Changes what is not None. A finished study that has room again goes on."""
        study_id_of(study_id)
        limits = limits or Limits()
        found = check_limits(limits)
        if goal is not None and math.isnan(goal):
            found.append(violation("optimization_goal", "nan", "expected a number"))
        if found:
            raise InvalidArgumentError(found)

        def change(study: Study) -> Study:
            if study.intent is not Intent.NONE and not study.state.finished:
                raise FailedPreconditionError(f"study {study.id} is being stopped: wait until it is, then change it")
            spec = replace(
                study.spec,
                limits=replace(study.spec.limits, **_set(limits)),
                goal=study.spec.goal if goal is None else goal,
            )
            if study.state.finished and (spec != study.spec or paused is False):
                over = why_over(replace(study, spec=spec), self._context.now())
                if over and paused is False:
                    raise FailedPreconditionError(f"study {study.id} has ended, and would at once again: {over}")
                if over:
                    study = study if paused is None else _paused(study, paused)
                    return replace(study, spec=spec, message=f"{study.message.partition(STAYS)[0]}{STAYS}{over}")
                # Whether it goes on is for the next pass to say.
                study = replace(
                    study, state=StudyState.RUNNING, intent=Intent.NONE, reason="", message="", ended_at=None
                )
            if paused is not None:
                study = _paused(study, paused)
            return replace(study, spec=spec)

        study = self._storage.update_study(study_id, change)
        self._woken(study_id)
        return summary(study)

    def stop_study(self, study_id: str) -> None:
        """Begins to end it; a second call changes nothing."""
        self._intend(study_id, Intent.STOP)

    def delete_study(self, study_id: str) -> None:
        """Begins to remove it; it is gone when its runs are."""
        self._intend(study_id, Intent.DELETE)

    def _intend(self, study_id: str, intent: Intent) -> None:
        def change(study: Study) -> Study:
            if study.intent is Intent.DELETE or study.intent is intent:
                return study
            if study.state.finished:
                if intent is Intent.STOP:
                    return study
                # A finished study is driven once more, to let go of what its worker keeps.
                study = replace(study, state=StudyState.RUNNING, ended_at=None)
            reason = StudyReason.DELETING if intent is Intent.DELETE else StudyReason.STOPPING
            return replace(study, intent=intent, reason=reason, message="stopped by a user")

        self._storage.update_study(study_id_of(study_id), change)
        self._woken(study_id)

    def _woken(self, study_id: str) -> None:
        """It may be ours, another manager's (who notices within a second), or nobody's as it had ended."""
        self._context.controller.wake(study_id)
        self._context.controller.look()


def _own_request(caller: Caller, request_id: str) -> str:
    """A request id as it is stored: each caller has its own, so that nobody comes upon another's study by one."""
    if caller is EVERYBODY or not request_id:
        return request_id
    # As long whatever the name; nothing secret is in it.
    digest = hashlib.sha256(caller.name.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{digest}/{request_id}"


def _set(limits: Limits) -> dict[str, Any]:
    return {f.name: value for f in fields(limits) if (value := getattr(limits, f.name)) is not None}


def _paused(study: Study, paused: bool) -> Study:
    if paused and study.state is StudyState.RUNNING:
        return replace(
            study,
            state=StudyState.PAUSED,
            reason=StudyReason.PAUSED,
            message=PAUSED_MESSAGE,
        )
    if not paused and study.state is StudyState.PAUSED:
        return replace(study, state=StudyState.RUNNING, reason="", message="")
    if paused and study.state.finished:
        raise FailedPreconditionError(f"study {study.id} has ended ({study.state.value}): there is nothing to pause")
    return study
