"""How much each column matters to a target: permutation importance on a random forest (Breiman, Random Forests, 2001).

Each tree is fitted to a sample with replacement; what it has not seen (its out-of-bag rows) says how well the forest predicts,
and how much worse each tree does once one column's values are shuffled among them (section 10). Plain Python, for the pages run
where numpy is not installed: numbers are binned first, so that a split costs one pass over its rows.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Of few rows each tree sees little and costs little.
_TREES: Final = 32
_TREES_OF_FEW: Final = 128
_BINS: Final = 32
# Of the columns, how many a split may choose from.
_CHOICE: Final = 0.7


@dataclass(frozen=True, slots=True)
class Fit:
    """`weights`: by how much of the target's variance the prediction gets worse without each column; `quality`: R² on rows that
    the trees have not seen."""

    weights: list[float]
    quality: float


@dataclass(frozen=True, slots=True)
class _Column:
    bins: list[int]
    count: int
    words: bool


@dataclass(slots=True)
class _Node:
    value: float
    column: int = -1
    left: bytes = b""
    """Which bins go left: a 1 for each that does."""
    low: "_Node | None" = None
    high: "_Node | None" = None


def fit(points: Sequence[Sequence[float]], target: Sequence[float], words: Sequence[bool]) -> Fit:
    """`points`: a row of numbers for each value of `target`, which are not all the same; `words`: the columns whose numbers
    have no order."""
    rng = random.Random(0)  # noqa: S311 - no secret, and the same answer whenever it is asked for
    columns = [_column([point[i] for point in points], word) for i, word in enumerate(words)]
    rows = range(len(target))
    mean = sum(target) / len(target)
    variance = sum((y - mean) ** 2 for y in target)
    # Deep where there is little to learn from; of much, splits of a few rows cost most of the time and change nothing.
    least = max(2, len(target) // 200)
    predicted, seen = [0.0] * len(target), [0] * len(target)
    lost, tested = [0.0] * len(columns), 0
    for _ in range(min(max(10_000 // len(target), _TREES), _TREES_OF_FEW)):
        bag = rng.choices(rows, k=len(target))
        chosen = set(bag)
        out = [row for row in rows if row not in chosen]
        tree = _grow(bag, columns, target, least, rng)
        right = 0.0
        for row in out:
            value = _predict(tree, columns, row)
            predicted[row] += value
            seen[row] += 1
            right += (value - target[row]) ** 2
        tested += len(out)
        for i in _columns_of(tree):
            lost[i] += _shuffled(tree, columns, i, out, target, rng) - right
    known = [row for row in rows if seen[row]]
    missed = sum((predicted[row] / seen[row] - target[row]) ** 2 for row in known)
    scale = variance / len(target)
    weights = [max(loss / tested / scale, 0.0) for loss in lost] if tested else [0.0] * len(columns)
    return Fit(weights, 1 - missed / len(known) / scale if known else 0.0)


def _column(values: Sequence[float], words: bool) -> _Column:
    """Words as they are; of numbers at most 32 bins, each with as many rows as the others."""
    different = sorted(set(values))
    if words or len(different) <= _BINS:
        places = {value: place for place, value in enumerate(different)}
        return _Column([places[value] for value in values], len(different), words)
    ordered = sorted(values)
    edges = sorted({ordered[len(ordered) * i // _BINS] for i in range(1, _BINS)})
    return _Column([bisect_left(edges, value) for value in values], len(edges) + 1, words)


def _grow(
    rows: Sequence[int], columns: Sequence[_Column], target: Sequence[float], least: int, rng: random.Random
) -> _Node:
    root = _Node(0.0)
    waiting = [(root, rows)]
    while waiting:
        node, mine = waiting.pop()
        total = sum([target[row] for row in mine])
        node.value = total / len(mine)
        if len(mine) < 2 * least:
            continue
        split = _split(mine, total, columns, target, least, rng)
        if split is None:
            continue
        node.column, node.left = split
        bins, left = columns[node.column].bins, node.left
        node.low, node.high = _Node(0.0), _Node(0.0)
        waiting.append((node.low, [row for row in mine if left[bins[row]]]))
        waiting.append((node.high, [row for row in mine if not left[bins[row]]]))
    return root


def _split(
    rows: Sequence[int],
    total: float,
    columns: Sequence[_Column],
    target: Sequence[float],
    least: int,
    rng: random.Random,
) -> tuple[int, bytes] | None:
    """The column and the bins that go left, by which the squares of what is left to explain shrink most."""
    size = len(rows)
    best = total * total / size * (1 + 1e-12)
    found = None
    for i in rng.sample(range(len(columns)), max(round(len(columns) * _CHOICE), 1)):
        column = columns[i]
        bins = column.bins
        counts, sums = [0] * column.count, [0.0] * column.count
        for row in rows:
            place = bins[row]
            counts[place] += 1
            sums[place] += target[row]
        order = [place for place in range(column.count) if counts[place]]
        if column.words:
            # In the order of their means, one of the cuts is the best of all divisions in two.
            order.sort(key=lambda place: sums[place] / counts[place])
        count, part = 0, 0.0
        for cut, place in enumerate(order[:-1]):
            count += counts[place]
            part += sums[place]
            if count < least or size - count < least:
                continue
            gain = part * part / count + (total - part) ** 2 / (size - count)
            if gain > best:
                best, found = gain, (i, order[: cut + 1])
    if found is None:
        return None
    i, places = found
    chosen = set(places) if columns[i].words else set(range(places[-1] + 1))
    return i, bytes(place in chosen for place in range(columns[i].count))


def _predict(node: _Node, columns: Sequence[_Column], row: int, instead: int = -1, other: int = 0) -> float:
    """Of `row`, with the value that row `other` has in the column `instead`."""
    while node.low is not None and node.high is not None:
        place = columns[node.column].bins[other if node.column == instead else row]
        node = node.low if node.left[place] else node.high
    return node.value


def _shuffled(
    tree: _Node, columns: Sequence[_Column], i: int, rows: Sequence[int], target: Sequence[float], rng: random.Random
) -> float:
    others = rng.sample(rows, len(rows))
    return sum(
        (_predict(tree, columns, row, i, other) - target[row]) ** 2 for row, other in zip(rows, others, strict=True)
    )


def _columns_of(tree: _Node) -> list[int]:
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if node.low is not None and node.high is not None:
            found.add(node.column)
            waiting += [node.low, node.high]
    return sorted(found)
