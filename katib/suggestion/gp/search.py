"""Where the acquisition is greatest: many quasi-random candidates and neighbours of the best trials, then local search from
several of them, by gradients in what is smooth and by single steps and changes in what is not.

Nothing is rounded after the fact: every row that is compared stands for a point of the space.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import qmc

from katib.suggestion.gp.encoding import Encoding, Floats

# Finite spaces up to this size are not searched: every point is looked at.
ENUMERATED: Final = 2000
SPREAD: Final = 1024
NEAR: Final = 512
STARTS: Final = 4
ROUNDS: Final = 4
_STEPS: Final = 30
_MAX_CATEGORIES: Final = 24


class Landscape(Protocol):
    """An acquisition over the rows of an encoding."""

    def values(self, x: Floats) -> Floats: ...

    def slopes(self, x: Floats) -> tuple[Floats, Floats] | None:
        """Values and their derivatives by the numeric columns, (n, numbers); None: it is not smooth."""


@dataclass(frozen=True)
class Region:
    """The box in which numbers are searched."""

    low: Floats
    high: Floats

    @classmethod
    def whole(cls, encoding: Encoding) -> "Region":
        return cls(np.zeros(len(encoding)), np.ones(len(encoding)))


def sobol(columns: int, points: int, seed: int) -> Floats:
    """A scrambled Sobol sequence's first points; its balance needs powers of two, which nobody checks here."""
    engine = qmc.Sobol(columns, scramble=True, rng=np.random.default_rng(seed))
    power = max(0, int(np.ceil(np.log2(max(points, 1)))))
    return np.asarray(engine.random_base2(power), dtype=np.float64)[:points]


def candidates(
    encoding: Encoding, region: Region, incumbents: Floats, rng: np.random.Generator, spread: int = SPREAD
) -> Floats:
    """Rows all over the region, and rows that differ from an incumbent in some parameters by little or much."""
    cube = sobol(len(encoding), spread, int(rng.integers(2**31)))
    wide = encoding.from_cube(cube)
    numeric = encoding.numeric
    low, high = region.low[numeric], region.high[numeric]
    wide[:, numeric] = low + wide[:, numeric] * (high - low)
    if not len(incumbents):
        return encoding.snap(wide)
    near = incumbents[rng.integers(len(incumbents), size=NEAR)]
    columns = len(encoding)
    # Each parameter changes with a probability that leaves few changes in many dimensions; at least one does.
    share = np.where(rng.random(NEAR) < 0.5, min(1.0, 3.0 / columns), 1.0)
    changed = rng.random((NEAR, columns)) < share[:, None]
    changed[np.arange(NEAR), rng.integers(columns, size=NEAR)] = True
    width = 10.0 ** rng.uniform(-2.5, -0.5, NEAR)
    moved = near + rng.normal(0.0, 1.0, (NEAR, columns)) * width[:, None]
    moved = np.clip(moved, region.low, region.high)
    # Small moves would leave most steps where they are: one step at the least.
    for i in encoding.stepped:
        levels = encoding.columns[i].levels
        assert levels is not None
        step = rng.choice([-1.0, 1.0], NEAR) / max(len(levels) - 1, 1)
        small = np.abs(moved[:, i] - near[:, i]) < np.abs(step)
        moved[:, i] = np.where(small, np.clip(near[:, i] + step, 0.0, 1.0), moved[:, i])
    for i in encoding.categorical:
        moved[:, i] = rng.integers(encoding.columns[i].choices, size=NEAR)
        if columns > 1:
            changed[:, i] &= rng.random(NEAR) < 0.5
    return encoding.snap(np.concatenate([wide, np.where(changed, moved, near)]))


def best_row(
    encoding: Encoding,
    landscape: Landscape,
    region: Region,
    incumbents: Floats,
    taken: Collection[tuple[float, ...]],
    rng: np.random.Generator,
    spread: int = SPREAD,
) -> Floats | None:
    """A row of a point that is not taken, where the acquisition is as great as the search finds it; None: it finds only
    points that are."""
    pool = candidates(encoding, region, incumbents, rng, spread)
    pool_values = landscape.values(pool)
    order = np.argsort(-pool_values, kind="stable")
    found = climb(encoding, landscape, region, pool[_apart(pool, order)])
    for rows in (found, np.concatenate([found, *(neighbours(encoding, row) for row in found), pool])):
        for i in np.argsort(-landscape.values(rows), kind="stable"):
            # First as it is: what it costs to know the point's own row counts where hundreds are taken.
            if encoding.key(rows[i]) not in taken:
                row = encoding.canonical(rows[i])
                if encoding.key(row) not in taken:
                    return row
    return None


def _apart(pool: Floats, order: NDArray[np.intp]) -> list[int]:
    """The first of `order`, and the next ones that are not just beside one that is chosen already."""
    chosen: list[int] = []
    for i in order[:200]:
        if all(float(np.max(np.abs(pool[i] - pool[j]))) > 0.02 for j in chosen):
            chosen.append(int(i))
            if len(chosen) == STARTS:
                break
    return chosen


def climb(encoding: Encoding, landscape: Landscape, region: Region, starts: Floats) -> Floats:
    """Local maxima from each start."""
    rows = starts.copy()
    if len(encoding.smooth):
        rows = _by_gradients(encoding, landscape, region, rows, encoding.smooth)
    mixed = len(encoding.stepped) + len(encoding.categorical) > 0
    if mixed and len(encoding.stepped):
        # Steps as if they were smooth, for the long moves; what comes of it, on its steps, starts beside the others.
        relaxed = _by_gradients(encoding, landscape, region, rows, encoding.numeric)
        rows = np.concatenate([rows, encoding.snap(relaxed)])
        values = landscape.values(rows)
        half = len(starts)
        rows = np.where((values[half:] > values[:half])[:, None], rows[half:], rows[:half])
    if not mixed:
        return rows
    for _ in range(ROUNDS):
        stepped = _by_steps(encoding, landscape, rows)
        if np.array_equal(stepped, rows):
            break
        rows = stepped
        if len(encoding.smooth):
            rows = _by_gradients(encoding, landscape, region, rows, encoding.smooth)
    return rows


def _by_gradients(
    encoding: Encoding, landscape: Landscape, region: Region, rows: Floats, columns: NDArray[np.intp]
) -> Floats:
    """All rows at once, the sum of their acquisitions: one call of the model a step for all of them. A row that did not gain
    stays."""
    before = landscape.slopes(rows)
    if before is None:
        return rows
    places = np.searchsorted(encoding.numeric, columns)
    shape = (len(rows), len(columns))

    def negative(flat: Floats) -> tuple[float, Floats]:
        moved = rows.copy()
        moved[:, columns] = flat.reshape(shape)
        both = landscape.slopes(moved)
        assert both is not None
        return -float(both[0].sum()), -both[1][:, places].ravel()

    low, high = np.tile(region.low[columns], len(rows)), np.tile(region.high[columns], len(rows))
    start = np.clip(rows[:, columns].ravel(), low, high)
    found = minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=np.stack([low, high], axis=1),
        options={"maxiter": _STEPS, "maxcor": 10, "ftol": 1e-5},
    )
    moved = rows.copy()
    moved[:, columns] = np.clip(found.x, low, high).reshape(shape)
    gained = landscape.values(moved) > before[0]
    return np.where(gained[:, None], moved, rows)


def _by_steps(encoding: Encoding, landscape: Landscape, rows: Floats) -> Floats:
    """Each row to its best neighbour, while there is a better one."""
    rows = rows.copy()
    values = landscape.values(rows)
    active = list(range(len(rows)))
    for _ in range(8):
        if not active:
            break
        around = [neighbours(encoding, rows[i]) for i in active]
        scores = landscape.values(np.concatenate(around))
        still = []
        begin = 0
        for i, near in zip(active, around, strict=True):
            mine = scores[begin : begin + len(near)]
            begin += len(near)
            best = int(np.argmax(mine))
            if mine[best] > values[i] + 1e-9:
                rows[i], values[i] = near[best], mine[best]
                still.append(i)
        active = still
    return rows


def neighbours(encoding: Encoding, row: Floats) -> Floats:
    """Rows that differ in one parameter: another category, or a value some steps away, near ones and far ones."""
    out = []
    for i, column in enumerate(encoding.columns):
        if column.choices:
            others = [c for c in range(column.choices) if c != int(row[i])]
            if len(others) > _MAX_CATEGORIES:  # evenly over the list
                others = others[:: -(-len(others) // _MAX_CATEGORIES)]
            places = np.array(others, dtype=np.float64)
        elif column.levels is not None:
            count = len(column.levels)
            at = int(np.argmin(np.abs(column.levels - row[i])))
            steps = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
            indices = sorted({at + s for s in steps if at + s < count} | {at - s for s in steps if at >= s})
            places = column.levels[np.array(indices, dtype=np.intp)]
        else:
            continue
        changed = np.repeat(row[None, :], len(places), axis=0)
        changed[:, i] = places
        out.append(changed)
    return np.concatenate(out) if out else np.empty((0, len(encoding)))
