"""What every algorithm does whose trial n does not depend on the trials before."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from katib.domain.search_space import ParameterConfig
from katib.suggestion.base import Algorithm
from katib.suggestion.service import Call, generate
from tests.suggestion.contract import EVERY_SPACE, AlgorithmContract
from tests.suggestion.studies import INFINITE, STUDY_ID, study, values


class NumberedContract(AlgorithmContract):
    @EVERY_SPACE
    def test_batches_change_nothing(self, algorithm: Algorithm, space: Sequence[ParameterConfig]) -> None:
        managers = []
        for parallel, finished in ((1, 1), (2, 1), (5, 3), (20, 20)):
            manager = self.manager(algorithm, space, ("MaxParallel", parallel), ("SuggestionNum", 20))
            while not manager.ask().completed:
                manager.finish(most=finished)
            managers.append([t.parameters for t in manager.trials])

        assert all(trials == managers[0] for trials in managers)
        assert len(managers[0]) == 20

    def test_a_manager_that_does_not_say_the_number_gets_the_same(self, algorithm: Algorithm) -> None:
        call = Call(STUDY_ID, study(INFINITE, *self.settings, max_trials=20), 4, 3, first_number=8)

        assert generate(algorithm, replace(call, first_number=0)) == generate(algorithm, call)

    def test_everything_at_once_comes_in_portions_of_a_thousand(self, algorithm: Algorithm) -> None:
        space = INFINITE[:2] + INFINITE[4:6]
        settings = (("MaxParallel", 0), ("SuggestionNum", 1500))
        manager = self.manager(algorithm, space, *settings)

        assert [len(manager.ask().suggestions) for _ in range(3)] == [1000, 500, 0]

    @pytest.mark.long
    def test_trials_far_down_the_order_cost_no_more_than_the_first(self, algorithm: Algorithm) -> None:
        space = [
            replace(INFINITE[4], name=f"p{i}", feasible=replace(INFINITE[4].feasible, max="99")) for i in range(200)
        ]
        spec = study(space, *self.settings, ("MaxParallel", 2))

        reply = generate(algorithm, Call(STUDY_ID, spec, 10**9, 0, first_number=10**15))

        assert len(set(values(reply))) == 2
