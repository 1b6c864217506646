"""Randomness without state: uniform numbers and permutations by hashing."""

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.domain.settings import Values
from katib.suggestion.randomness import Permutation, study_seed, uniforms

SEEDS = st.integers(0, 2**64 - 1)


class TestPermutation:
    @pytest.mark.parametrize("size", [*range(1, 70), 100, 127, 128, 129, 1000, 1024])
    def test_it_gives_every_number_once_and_its_place(self, size: int) -> None:
        order = Permutation(size, 5)
        numbers = [order[i] for i in range(size)]

        assert sorted(numbers) == list(range(size))
        assert [order.index(n) for n in numbers] == list(range(size))

    @given(st.integers(1, 10**40), SEEDS, st.integers(0))
    def test_places_and_numbers_determine_each_other_at_any_size(self, size: int, seed: int, index: int) -> None:
        order = Permutation(size, seed)
        index %= size

        assert 0 <= order[index] < size
        assert order.index(order[index]) == index

    def test_every_order_is_equally_likely(self) -> None:
        for size in (2, 3, 4):
            counts = Counter(tuple(Permutation(size, seed)[i] for i in range(size)) for seed in range(2400))
            orders = list(permutations(range(size)))
            expected = 2400 / len(orders)
            chi_square = sum((counts[order] - expected) ** 2 / expected for order in orders)
            # Beyond it lies less than one seed in a thousand at 1, 5 and 23 degrees of freedom.
            assert chi_square < {2: 10.8, 3: 20.5, 4: 49.7}[size]

    def test_the_first_number_of_a_large_order_is_anywhere(self) -> None:
        first = sorted(Permutation(10**9, seed)[0] for seed in range(1000))

        assert max(abs(n / 10**9 - i / 1000) for i, n in enumerate(first)) < 0.07

    @pytest.mark.parametrize("index", [-1, 5, 10**20])
    def test_there_is_nothing_beyond_the_ends(self, index: int) -> None:
        with pytest.raises(IndexError):
            Permutation(5, 1)[index]
        with pytest.raises(IndexError):
            Permutation(5, 1).index(index)

    def test_nothing_has_no_order(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            Permutation(0, 1)


class TestUniforms:
    @given(SEEDS, st.integers(1, 2**63 - 1), st.integers(0, 300))
    def test_they_are_between_zero_and_one_and_their_beginning_does_not_depend_on_their_number(
        self, seed: int, number: int, count: int
    ) -> None:
        numbers = uniforms(seed, number, count)

        assert len(numbers) == count
        assert all(0.0 <= u < 1.0 for u in numbers)
        assert uniforms(seed, number, count + 1)[:-1] == numbers

    def test_seed_and_number_are_not_one_sum(self) -> None:
        assert len({tuple(uniforms(seed, number, 1)) for seed in range(30) for number in range(30)}) == 900


def test_a_study_without_a_seed_has_one_of_its_id() -> None:
    ids = ["", "a", "a0123456789abcde", "\udc80", "x" * 10000]

    seeds = [study_seed(Values({}, {}), i) for i in ids]

    assert len(set(seeds)) == len(ids)
    assert all(0 <= s < 2**64 for s in seeds)
    assert study_seed(Values({"Seed": 0}, {}), "a") == 0
