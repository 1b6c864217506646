"""The benchmark of what suggestions find: its problems, its scores, and a run that was broken off."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import kept, long, plot, report, runner, scores, tables
from benchmarks.quality.contestants import Ours
from benchmarks.quality.problems import Problem, double, fingerprint
from benchmarks.quality.suites import REPORTED, SUITES
from katib.domain.search_space import SearchSpace

BOWL = Problem("bowl", "test", (double("x", 0.0, 1.0),), lambda v: (v["x"] - 0.3) ** 2)


@pytest.mark.long
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_no_point_of_a_problem_is_better_than_its_best(suite: str) -> None:
    for problem in SUITES[suite]():
        values = [problem.value(v) for _, v in Ours(problem, 1, "random", {}).ask(30)]
        assert all(math.isfinite(v) for v in values), problem.name
        assert min(values) >= problem.best, problem.name


def test_problems_have_names_of_their_own() -> None:
    names = [p.name for make in SUITES.values() for p in make()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("folder", [tables.FOLDER, tables.OTHER, tables.HELD_OUT])
def test_a_table_gives_the_loss_of_each_point_and_its_best_is_one_of_them(folder: Path) -> None:
    problems = tables.problems(folder)
    assert len(problems) == 8
    for problem in problems:
        table = json.loads((folder / f"{problem.name}.json").read_text())
        shape = [len(axis) for axis in table["axes"].values()]
        losses = np.array(table["losses"]).reshape(shape)
        at = tuple(np.random.default_rng(0).integers(shape))
        values = {n: axis[i] for (n, axis), i in zip(table["axes"].items(), at, strict=True)}
        assert problem.value(values) == losses[at]
        assert problem.best == losses.min()
        assert SearchSpace.of(problem.parameters).cardinality == losses.size


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 4])
def test_in_the_problems_of_the_tables_auto_uses_bayesianoptimization(batch: int) -> None:
    """Its row in them would be the same, so there is none."""
    for suite in REPORTED:
        for problem in SUITES[suite]():
            player = Ours(problem, 1, "auto", {})
            player.ask(batch)
            assert {t.value for trial in player.trials for t in trial.tags} == {"bayesianoptimization"}, problem.name


@pytest.mark.long
def test_a_run_that_was_broken_off_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"

    def go(path: Path, minutes: float = 10.0) -> bool:
        return runner.run(path, [BOWL], ["random", "sobol"], range(2), 1, 25, minutes)

    assert go(whole)
    assert not go(broken, minutes=0.0)  # time is up: only what scores are measured by
    with broken.open("a") as file:
        file.write(whole.read_text().splitlines()[1] + "\n" + '{"problem": "bo')  # killed while it wrote
    assert go(broken)
    assert [_without_time(r) for r in runner.read(broken)] == [_without_time(r) for r in runner.read(whole)]
    size = broken.stat().st_size
    assert go(broken)
    assert broken.stat().st_size == size


@pytest.mark.long
def test_what_was_found_in_a_problem_that_has_been_changed_since_is_not_taken_for_done(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    other = Problem("bowl", "test", BOWL.parameters, lambda v: (v["x"] - 0.4) ** 2)

    runner.run(path, [BOWL], ["random"], range(1), 1, 25, 10.0)
    runner.run(path, [other], ["random"], range(1), 1, 25, 10.0)

    assert len(runner.read(path)) == 4
    assert {r["of"] for r in runner.current(runner.read(path), [other])} == {fingerprint(other)}
    assert {r["of"] for r in runner.current(runner.read(path), [BOWL])} == {fingerprint(BOWL)}
    assert runner.current(runner.read(path), []) == []


@pytest.mark.long
def test_of_a_noisy_search_the_true_value_of_the_trial_that_reported_the_least_counts() -> None:
    loud = Problem("loud", "test", BOWL.parameters, BOWL.value, noise=10.0)

    noisy = [runner.run_one(loud, "sobol", seed, 1, 25)["best"][0] for seed in range(10)]
    quiet = [runner.run_one(BOWL, "sobol", seed, 1, 25)["best"][0] for seed in range(10)]

    # So much noise makes the choice blind: one of 25 points over the whole range, not the best of them.
    assert max(quiet) < 0.01 < np.mean(noisy)
    assert min(noisy) >= 0.0
    assert max(noisy) <= 0.49
    # The reference is measured as the others are.
    assert runner.reference(loud)["best"][0] > runner.reference(BOWL)["best"][0]


@pytest.mark.long
def test_what_ours_found_is_kept_as_long_as_they_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = tmp_path / "kept.jsonl.gz", tmp_path / "results.jsonl"
    assert runner.run(file, [BOWL], ["sobol", "sobol:SuggestionNum=9", "tpe@label"], range(1), 1, 25, 1)

    assert kept.keep(runner.read(file), [BOWL], path) == 2
    (found,) = (r for r in kept.kept(path) if r["contestant"] != runner.REFERENCE)
    assert found["contestant"] == "sobol"
    # What is there is not run again.
    before = file.read_text()
    assert runner.run(file, [BOWL], ["sobol"], range(1), 1, 25, 1)
    assert file.read_text() == before
    monkeypatch.setattr(runner, "code", lambda name: "another")
    assert [r["contestant"] for r in kept.kept(path)] == [runner.REFERENCE]
    assert runner.run(file, [BOWL], ["sobol"], range(1), 1, 25, 1)
    assert len(file.read_text()) > len(before)


def test_what_peers_found_is_kept_once_and_only_of_problems_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl.gz"
    rows = [_row("hyperopt", 0, [0.2]), _row("tpe", 0, [0.1]), _row(runner.REFERENCE, 0, [0.4])]

    assert kept.keep(rows, [BOWL], path) == 2
    assert kept.keep([_row("hyperopt", 0, [0.3]), _row("hyperopt", 1, [0.3])], [BOWL], path) == 3
    before = path.read_bytes()
    assert kept.keep([], [BOWL], path) == 3
    assert path.read_bytes() == before
    assert [r["best"] for r in kept.kept(path) if r["seed"] == 0 and r["contestant"] == "hyperopt"] == [[0.3]]
    assert kept.keep([], [Problem("bowl", "test", BOWL.parameters, lambda _: 1.0)], path) == 0


@pytest.mark.long
def test_the_kept_results_are_of_problems_as_they_are_and_have_what_scores_are_measured_by() -> None:
    problems = [p for make in SUITES.values() for p in make()]
    rows = kept.kept()

    assert len(runner.current(rows, problems)) == len(rows)
    measured = {r["problem"] for r in rows if r["contestant"] == runner.REFERENCE}
    assert {r["problem"] for r in rows} == measured
    assert all(r["version"] or r["code"] for r in rows if r["contestant"] != runner.REFERENCE)


def test_what_a_batch_costs_is_the_mean_over_pairs_of_the_same_problem_and_seed() -> None:
    rows = [_row(runner.REFERENCE, 0, [0.4, 0.4, 0.4])]
    rows += [_row("a", seed, [0.2, 0.2, 0.0]) for seed in range(3)]
    rows += [{**_row("a", seed, [0.2, 0.4, 0.1 * seed]), "batch": 4} for seed in (0, 1, 7)]

    (found,) = scores.batch_differences(rows, {"bowl": BOWL}, 4)

    assert (found.contestant, found.pairs) == ("a", 2)
    assert found.mean == pytest.approx([0.0, -0.5, -0.125])
    assert found.low[2] == pytest.approx(-0.25)
    assert "| s | a | +0.00 (+0.00 to +0.00) | -0.50 (-0.50 to -0.50) | -0.12 (-0.25 to +0.00) | 2 |" in (
        report.markdown_of_batches([("s", [found])])
    )


def test_two_contestants_are_compared_by_their_means_over_the_problems_of_both(tmp_path: Path) -> None:
    page = tmp_path / "algorithms.md"
    page.write_text(f"before\n{report.PAIRS_BEGIN}\nold\n{report.PAIRS_END}\nafter\n")
    other = Problem("other", "test", BOWL.parameters, BOWL.value)
    rows = [_row(runner.REFERENCE, 0, [0.4, 0.4, 0.4], name) for name in ("bowl", "other")]
    rows += [_row("a", seed, [0.2, 0.2, 0.0]) for seed in range(3)] + [_row("a", 0, [0.0, 0.0, 0.0], "other")]
    rows += [_row("b", seed, [0.4, 0.2, 0.2 * seed]) for seed in (1, 0)] + [_row("c", 0, [0.0], "other")]

    found = scores.versus(rows, {"bowl": BOWL, "other": other}, "a", "b")
    assert found is not None
    report.write_pairs([("s", [found])], tmp_path)

    cells = "| s | a less b | +0.50 (+0.50 to +0.50) | +0.00 (+0.00 to +0.00) | +0.25 (+0.00 to +0.50) | 3 and 2 |"
    assert cells in page.read_text()
    assert scores.versus(rows, {"bowl": BOWL, "other": other}, "b", "c") is None
    assert scores.versus(rows, {"bowl": BOWL}, "a", "nobody") is None


def test_scores_are_0_for_what_random_search_finds_and_1_for_the_best() -> None:
    assert scores.score(BOWL, [0.4, 0.2, 0.1], [0.4, 0.1, 0.0]) == [0.0, 0.5, 1.0]
    assert scores.score(BOWL, [0.1], [100.0]) == [-1.0]
    assert scores.score(BOWL, [0.0, 0.0], [0.0, 0.1]) == [1.0, 0.0]


def test_a_shorter_search_has_no_score_and_no_rank_where_it_did_not_get() -> None:
    assert math.isnan(scores.score(BOWL, [0.4, 0.2], [0.4])[1])
    rows = [_row("short", 0, [0.1]), _row("long", 0, [0.2, 0.1, 0.1])]
    first, second = scores.standings([_row(runner.REFERENCE, 0, [0.4, 0.4, 0.4]), *rows], {"bowl": BOWL})
    assert (first.contestant, second.contestant) == ("short", "long")
    assert first.rank == pytest.approx([1.0, math.nan, math.nan], nan_ok=True)
    assert second.rank == pytest.approx([2.0, 1.0, 1.0])
    assert "| – | – |" in report.markdown([("test", [first, second])])


def test_standings_have_means_intervals_and_shared_ranks() -> None:
    rows = [_row("a", seed, [0.2, 0.2, 0.1 * seed]) for seed in range(3)] + [_row("b", 0, [0.2, 0.4, 0.0])]
    first, second = scores.standings([_row(runner.REFERENCE, 0, [0.4, 0.4, 0.4]), *rows], {"bowl": BOWL})
    assert (first.contestant, second.contestant) == ("b", "a")
    assert second.score == pytest.approx([0.5, 0.5, 0.75])
    assert second.low[2] < 0.75 < second.high[2]
    assert list(first.rank) == [1.5, 2.0, 1.0]
    assert second.searches == 3


def test_a_contestant_without_results_for_every_problem_is_not_compared() -> None:
    other = Problem("other", "test", BOWL.parameters, BOWL.value)
    reference = [_row(runner.REFERENCE, 0, [0.4], p) for p in ("bowl", "other")]
    rows = [_row("a", 0, [0.2]), _row("a", 0, [0.2], "other"), _row("b", 0, [0.0])]
    assert [s.contestant for s in scores.standings(reference + rows, {"bowl": BOWL, "other": other})] == ["a"]


def test_the_report_stands_between_its_marks_and_the_picture_beside_it(tmp_path: Path) -> None:
    page = tmp_path / "algorithms.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    rows = [_row("a<b", 0, [0.2, 0.05, 0.0]), _row("a<b", 1, [0.2, 0.15, 0.0]), _row("once", 0, [0.4, 0.4, 0.4])]
    found = scores.standings([_row(runner.REFERENCE, 0, [0.4, 0.4, 0.4]), *rows], {"bowl": BOWL})
    report.write([("test", found)], [], tmp_path)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| a<b | 0.50 (0.50 to 0.50) | 0.75 (0.62 to 0.88) | 1.00 (1.00 to 1.00) | 1.0 (1.0 to 1.0) /" in text
    assert "| once | 0.00 | 0.00 | 0.00 | 2.0 / 2.0 / 2.0 | 1 |" in text
    assert "a&lt;b" in (tmp_path / "quality.svg").read_text()
    assert plot.svg([("test", found)]).startswith("<svg")


def test_a_long_search_is_told_by_what_it_leaves_for_one_that_another_leaves(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    long.run(path, [BOWL], ["random", "sobol"], range(2), 50, 300)
    before = path.read_text()
    long.run(path, [BOWL], ["random", "sobol"], range(2), 50, 300)
    assert path.read_text() == before
    long.run(path, [BOWL], ["random"], range(1), 50, 200)

    rows = long.of(runner.read(path), [BOWL], 50, 300)
    head, _, row = long.markdown(rows, [BOWL], ["random", "sobol"]).splitlines()

    assert len(rows) == 4
    assert head == "| suite | | 200 trials | 300 trials | searches |"
    left = {c: [r["best"][1] - BOWL.best for r in rows if r["contestant"] == c] for c in ("random", "sobol")}
    ratios = np.array(left["sobol"]) / np.array(left["random"])
    assert row.split(" | ")[3:] == [f"{np.median(ratios):.2g} ({(ratios < 1).sum()}, {(ratios > 1).sum()})", "2 |"]


def _row(contestant: str, seed: int, best: list[float], problem: str = "bowl") -> runner.Row:
    search = {"problem": problem, "of": fingerprint(BOWL), "contestant": contestant, "seed": seed, "batch": 1}
    return {**search, "best": best, "cpu": 1.0}


def _without_time(row: runner.Row) -> runner.Row:
    return {k: v for k, v in row.items() if k != "cpu"}
