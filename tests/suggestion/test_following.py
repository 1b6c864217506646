"""auto's followers: with noise there are none, without it they have two of three trials."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from katib.domain.search_space import ParameterConfig, SearchSpace
from katib.domain.study import Limits, Objective, StudyReason, StudySpec
from katib.domain.trial import Tag, Trial, TrialState
from katib.suggestion.algorithms.auto import CHOSEN, Auto
from katib.suggestion.algorithms.cmaes import CmaEs
from katib.suggestion.base import Request
from katib.suggestion.following import FOLLOWED, Following
from katib.suggestion.service import check
from tests.suggestion.studies import (
    BOWL,
    CATEGORICAL,
    DISCRETE,
    DOUBLE,
    INT,
    NOW,
    STUDY_ID,
    MiniManager,
    bowl,
    parameter,
    smooth,
    study,
)

CHOICES = (BOWL[0], *(parameter(n, CATEGORICAL, values=("a", "b", "c")) for n in ("x", "y")))
# As the bowl's, without a continuum.
STEPPED = (
    parameter("lr", DISCRETE, values=[f"{10 ** (-i / 8):.3g}" for i in range(32)]),
    parameter("momentum", DOUBLE, 0, 1, step="0.01"),
    *BOWL[2:],
)
PLANE = tuple(parameter(n, DOUBLE, -2, 2) for n in "xy")


def cone(trial: Trial) -> tuple[TrialState, float | None]:
    """A cone, least, 0, at (0.3, 0.7): smooth everywhere but there."""
    x, y = (float(p.value) for p in trial.parameters)
    return TrialState.COMPLETED, math.hypot(x - 0.3, 4 * (y - 0.7))


class Told(MiniManager):
    """`known` trials that somebody else suggested, at random points, have reported their objective and noise with so much
    deviation, and so do all that come."""

    def __init__(self, spec: StudySpec, noise: float, known: int) -> None:
        super().__init__(Auto(), spec, outcome=self._report)
        self._noise = noise
        self._dice = np.random.default_rng(5)
        space = SearchSpace.of(spec.parameters)
        for number in range(1, known + 1):
            at = space.from_unit(self._dice.random(len(space)).tolist())
            made = Trial(f"b{number:015x}", STUDY_ID, number, 1, TrialState.RUNNING, at, NOW, 0)
            self.trials.append(made)
        self.finish()

    def ended(self, trial: Trial) -> Trial:
        state, objective = self.outcome(trial)
        return replace(trial, state=state, objective=objective)

    def _report(self, trial: Trial) -> tuple[TrialState, float | None]:
        of = {len(BOWL): bowl, len(PLANE): cone}.get(len(trial.parameters), smooth)
        state, value = of(trial)
        assert value is not None
        return state, value + self._noise * float(self._dice.normal())


def told(noise: float, known: int, parameters: Sequence[ParameterConfig] = BOWL, **limits: int) -> Told:
    return Told(study(parameters, ("Seed", 1), limits=Limits(**{"max_parallel": 4, **limits})), noise, known)


def used(manager: MiniManager) -> list[str]:
    return [t.value for trial in manager.trials for t in trial.tags if t.name == CHOSEN]


def tags(trial: Trial) -> dict[str, str]:
    return {t.name: t.value for t in trial.tags}


def followers(manager: MiniManager) -> list[Trial]:
    return [t for t in manager.trials if FOLLOWED in tags(t)]


def best(trials: Iterable[Trial]) -> Trial:
    return min((t for t in trials if t.objective is not None), key=lambda t: t.objective or 0.0)


MODEL = "bayesianoptimization"
# The bowl at random points deviates by about 0.6.
NOISE = 0.1


class TestNoise:
    def test_with_it_the_model_goes_on_and_says_how_much_there_is(self) -> None:
        reply = told(NOISE, 200, max_trials=500).ask()

        said = re.fullmatch(
            r"auto uses bayesianoptimization: of 500 trials each is worth a model of all those before, which have noise of "
            r"([0-9.]+)% of their objective's deviation",
            reply.note,
        )
        assert said
        assert 5 < float(said[1]) < 50

    def test_without_it_and_with_few_trials_left_the_model_goes_on_and_says_that_there_is_none(self) -> None:
        assert told(0.0, 200, max_trials=400).ask().note == (
            "auto uses bayesianoptimization: of 400 trials each is worth a model of all those before, which tell of no noise"
        )

    @pytest.mark.long
    def test_without_it_two_of_three_trials_follow_the_best_one(self) -> None:
        manager = told(0.0, 200, max_trials=600)
        first = best(manager.trials)

        notes = set()
        for _ in range(20):
            notes.add(manager.ask().note)
            manager.finish()

        (note,) = notes
        assert note == (
            "auto uses bayesianoptimization and cmaes by turns: of 600 trials each is worth a model of all those before, and "
            f"two of three more follow trial {first.number}, the best when they told of no noise"
        )
        assert {tags(t)[FOLLOWED] for t in followers(manager)} == {str(first.number)}
        assert used(manager)[::4][:7] == ["cmaes", MODEL, "cmaes", "cmaes", MODEL, "cmaes", "cmaes"]
        assert used(manager).count("cmaes") == 52

    def test_it_begins_beside_the_trial_that_it_follows_with_its_categories(self) -> None:
        manager = told(0.0, 200, max_trials=1000, max_parallel=20)
        first = best(manager.trials)

        suggestions = manager.ask().suggestions

        momenta = [float(s.parameters[1].value) for s in suggestions]
        assert np.ptp([*momenta, float(first.parameters[1].value)]) < 0.1
        assert [s.parameters[3] for s in suggestions].count(first.parameters[3]) > 10

    @pytest.mark.long
    def test_followers_come_to_digits_that_no_model_does(self) -> None:
        manager = told(0.0, 200, PLANE, max_trials=600)
        before = best(manager.trials).objective

        manager.run()

        follower, other = best(followers(manager)), best(t for t in manager.trials if FOLLOWED not in tags(t))
        # The model is after them too, in ten of its last twenty trials.
        assert (follower.objective or 0.0) < 0.5 * (other.objective or 0.0) < 0.05 * (before or 0.0)

    @pytest.mark.long
    def test_trials_that_end_late_change_neither_what_is_followed_nor_from_where(self) -> None:
        """They end better than all others, in another place, when some have followed."""
        manager = told(0.0, 203, max_trials=1000)
        far = [
            tuple(replace(p, value="0.01") if p.name == "momentum" else p for p in t.parameters) for t in manager.trials
        ]
        late = [replace(t, parameters=far[t.number - 1]) for t in manager.trials[200:]]
        manager.trials[200:] = [replace(t, state=TrialState.RUNNING, objective=None) for t in late]
        manager.spec = replace(manager.spec, limits=Limits(max_trials=1000, max_parallel=7))
        for _ in range(6):
            manager.ask()
            for i in range(203, len(manager.trials)):
                if not manager.trials[i].state.finished:
                    manager.trials[i] = manager.ended(manager.trials[i])
        (number,) = {tags(t)[FOLLOWED] for t in followers(manager)}
        along = len(followers(manager))
        manager.trials[200:203] = [replace(t, objective=-1.0) for t in late]

        for _ in range(6):
            manager.ask()
            manager.finish()

        after = followers(manager)[along:]
        assert {tags(t)[FOLLOWED] for t in after} == {number}
        middle = float(manager.trials[int(number) - 1].parameters[1].value)
        assert max(abs(float(t.parameters[1].value) - middle) for t in after) < 0.2
        assert middle > 0.5

    def test_noise_that_is_only_seen_later_does_not_end_what_was_begun(self) -> None:
        manager = told(0.0, 200, max_trials=1000)
        for _ in range(10):
            note = manager.ask().note
            manager.finish()
        manager.trials[:200] = [replace(t, objective=(t.objective or 0.0) + t.number % 7) for t in manager.trials[:200]]

        assert manager.ask().note == note

    @pytest.mark.long
    def test_another_valley_that_the_model_finds_is_followed_when_the_first_episode_is_over(self) -> None:
        manager = told(0.0, 200, max_trials=3000)
        manager.outcome = lambda t: (TrialState.COMPLETED, 0.0) if tags(t).get(CHOSEN) == "cmaes" else bowl(t)
        for _ in range(60):  # A run whose trials are all the same is over after ten generations.
            manager.ask()
            manager.finish()
        assert manager.ask().note.startswith("auto uses bayesianoptimization: ")
        manager.finish()
        along = len(followers(manager))
        found = manager.trials[-1]
        manager.trials[-1] = replace(found, objective=-1.0)
        for _ in range(5):
            assert manager.ask().note.startswith("auto uses bayesianoptimization: "), "it is too soon"
            manager.finish()

        note = manager.ask().note

        assert f"two of three more follow trial {found.number}, " in note
        assert {tags(t)[FOLLOWED] for t in followers(manager)[along:]} == {str(found.number)}

    def test_the_model_sees_but_the_best_of_those_that_follow(self) -> None:
        manager = told(0.0, 200, max_trials=1000)
        for _ in range(10):
            manager.ask()
            manager.finish()
        worse = sorted(followers(manager), key=lambda t: t.objective or 0.0)[1:]
        without = [t.number for t in manager.trials if t not in worse]

        assert used(manager)[-1] == "cmaes"
        reply = manager.ask()

        given = Request("", check(Auto(), manager.spec), 1, 4, 0, 0, manager.trials[:-4])
        assert [t.number for t in Following(given).rest().finished] == without
        assert {tags(t)[CHOSEN] for t in manager.trials[-4:]} == {"bayesianoptimization"}
        assert reply.note.startswith("auto uses bayesianoptimization and cmaes by turns")

    def test_what_clients_asked_of_cmaes_before_is_no_follower(self) -> None:
        """Its trials are near one another, and say little of noise; nor are they members of what follows."""
        manager = MiniManager(CmaEs(), study(BOWL, ("Seed", 1), ("MaxParallel", 4), max_trials=250), outcome=bowl)
        manager.run()
        manager.algorithm, manager.spec = (
            Auto(),
            study(BOWL, ("Seed", 1), limits=Limits(max_trials=900, max_parallel=4)),
        )

        assert manager.ask().note.startswith("auto uses bayesianoptimization: of 900 trials")

    @pytest.mark.parametrize(
        ("known", "parameters", "limits"),
        [
            pytest.param(199, BOWL, {"max_trials": 500}, id="fewer trials than tell"),
            pytest.param(201, BOWL, {"max_trials": 500}, id="too few that are left"),
            pytest.param(200, BOWL, {"max_trials": 500, "max_parallel": 11}, id="too few generations that are left"),
            pytest.param(200, CHOICES, {"max_trials": 500}, id="most parameters are choices"),
            pytest.param(200, STEPPED, {"max_trials": 500}, id="no parameter is a continuum"),
        ],
    )
    def test_nothing_is_followed_where_there_is_nothing_to_follow(
        self, known: int, parameters: Sequence[ParameterConfig], limits: dict[str, int]
    ) -> None:
        manager = told(0.0, known, parameters, **limits)

        assert manager.ask().note.startswith(f"auto uses bayesianoptimization: of {limits['max_trials']} trials each")
        assert not followers(manager)

    def test_time_that_failed_trials_took_is_none_that_is_left(self) -> None:
        manager = told(0.0, 480, max_trials=500)
        manager.trials[200:] = [replace(t, state=TrialState.ERROR, objective=None) for t in manager.trials[200:]]

        manager.ask()

        assert not followers(manager)

    def test_trials_without_an_objective_tell_nothing_of_it(self) -> None:
        manager = told(0.0, 203, max_trials=600)
        manager.trials[:4] = [replace(t, objective=None) for t in manager.trials[:4]]

        assert manager.ask().note.startswith("auto uses bayesianoptimization: ")

    def test_what_is_asked_of_noise_does_not_change_as_trials_end_late(self) -> None:
        """Only trials before all that run are asked: none comes in between any more."""
        manager = told(NOISE, 206, max_trials=600, max_parallel=6)
        manager.trials[2] = replace(manager.trials[2], state=TrialState.RUNNING, objective=None)
        before = manager.ask().note
        manager.finish(1)

        assert manager.trials[2].state.finished
        assert "noise" not in before
        assert "which have noise of" in manager.ask().note

    def test_objectives_that_are_all_the_same_tell_nothing_of_it(self) -> None:
        manager = told(0.0, 200, max_trials=600)
        manager.trials = [replace(t, objective=1.0) for t in manager.trials]

        assert manager.ask().note.startswith("auto uses bayesianoptimization: ")

    def test_a_trial_that_is_not_of_the_space_is_not_followed(self) -> None:
        manager = told(0.0, 201, max_trials=600)
        outside = manager.trials[0]
        at = tuple(replace(p, value="99") if p.name == "momentum" else p for p in outside.parameters)
        manager.trials[0] = replace(outside, parameters=at, objective=-5.0)

        manager.ask()

        assert {tags(t)[FOLLOWED] for t in followers(manager)} == {str(best(manager.trials[1:201]).number)}

    def test_each_of_finitely_many_points_counts_as_tried_whatever_its_tags_say(self) -> None:
        space = (parameter("n", INT, 1, 4),)
        manager = MiniManager(Auto(), study(space, ("Seed", 1), ("MaxParallel", 1), max_trials=100))
        manager.run()
        assert len(manager.trials) == 4
        manager.trials = [replace(t, tags=(*t.tags, Tag(FOLLOWED, "1"))) for t in manager.trials]

        reply = manager.ask()

        assert (reply.suggestions, reply.completed, reply.reason) == ((), True, StudyReason.EXHAUSTED)

    @pytest.mark.parametrize("text", ["abc", "", "-1", "1e3", "9" * 40])
    def test_a_tag_that_is_no_number_follows_none(self, text: str) -> None:
        manager = told(0.0, 200, max_trials=600)
        manager.trials[3] = replace(manager.trials[3], tags=(Tag(FOLLOWED, text),))

        manager.ask()

        assert {tags(t)[FOLLOWED] for t in manager.trials[200:]} == {str(best(manager.trials[:200]).number)}

    def test_beyond_a_thousand_trials_it_is_an_algorithm_of_milliseconds(self) -> None:
        manager = told(NOISE, 1000, max_trials=5000)

        assert manager.ask().note.startswith("auto uses cmaes: 5000 trials want an answer")
        assert not followers(manager)

    def test_another_process_and_the_mirrored_study_choose_the_same(self) -> None:
        manager, mirrored, fresh = (told(0.0, 300, max_trials=800) for _ in range(3))
        mirrored.spec = replace(mirrored.spec, optimization=Objective.MAXIMIZE)
        mirrored.trials = [replace(t, objective=-(t.objective or 0.0)) for t in mirrored.trials]
        fresh.study_id = "a study that it never saw"

        asked = manager.ask()

        assert followers(manager)
        assert (mirrored.ask().suggestions, fresh.ask().suggestions) == (asked.suggestions, asked.suggestions)
