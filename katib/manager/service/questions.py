"""What a suggestion service is asked for a client, and what it answers."""

from collections.abc import Sequence
from dataclasses import replace

from katib.domain.search_space import SearchSpace
from katib.domain.study import SUGGESTION_NUM, Setting, Study, StudySpec, effective_max_trials, with_effective_settings
from katib.domain.trial import Trial
from katib.manager.service_ports import Suggestion, SuggestionReply, SuggestionRequest, TrialHistory
from katib.manager.suggested import checked_parameters


def asking_for(study: Study, count: int) -> StudySpec:
    """The spec as the service must see it to suggest `count`: how many run at once, and when to end, is the clients'."""
    out = study.unfinished_trials
    settings = with_effective_settings(study.spec, out + count)
    if effective_max_trials(study.spec) is None:
        settings = (*settings, Setting(SUGGESTION_NUM, str(study.finished_trials + out + count)))
    return replace(study.spec, settings=settings)


def question(
    study: Study, spec: StudySpec, history: TrialHistory | None = None, unfinished: Sequence[Trial] = ()
) -> SuggestionRequest:
    """`spec` as of `asking_for`; without a history for a service that needs none."""
    return SuggestionRequest(
        study_id=study.id,
        spec=spec,
        history=history,
        unfinished=unfinished,
        finished_count=study.finished_trials,
        unfinished_count=study.unfinished_trials,
        first_number=study.suggested + 1,
    )


def checked_suggestions(study: Study, reply: SuggestionReply) -> Sequence[Suggestion]:
    """With its parameters as the study has them; raises InvalidArgumentError for what it does not allow."""
    space = SearchSpace.of(study.spec.parameters)
    return [replace(s, parameters=checked_parameters(space, s.parameters)) for s in reply.suggestions]
