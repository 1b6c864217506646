"""The list of studies: searched, filtered, sorted and cut into pages here, for the manager's own list is by age alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from katib.api.client import ManagerClient
from katib.domain.study import Objective, StudyState
from katib.domain.views import StudySummary

PAGE: Final = 50
# Beyond so many studies only the newest are looked at; the page says so.
MOST: Final = 10_000
_PIECE: Final = 1000

_KEYS: Final[Mapping[str, Callable[[StudySummary], Any]]] = {
    "created": lambda study: study.created_at,
    "name": lambda study: (study.name.casefold(), study.id),
    "owner": lambda study: (study.owner.casefold(), study.created_at),
    "state": lambda study: (list(StudyState).index(study.state), study.created_at),
    "progress": lambda study: study.finished_trials / study.max_trials if study.max_trials else study.finished_trials,
    "best": lambda study: _best(study),
}
# Newest and furthest first, names from A on.
_DOWN: Final = frozenset({"created", "progress", "best"})


@dataclass(frozen=True, slots=True)
class Query:
    """What a reader asks for, from the page's address; what makes no sense there is passed over."""

    text: str = ""
    state: StudyState | None = None
    sort: str = "created"
    down: bool = True
    page: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Query":
        state, sort = parameters.get("state", ""), parameters.get("sort", "created")
        down = sort.startswith("-")
        sort = sort.removeprefix("-")
        if sort not in _KEYS:
            sort, down = "created", True
        elif sort == "created" and "sort" not in parameters:
            down = True
        page = parameters.get("page", "1")
        return cls(
            text=parameters.get("q", "").strip()[:200],
            state=StudyState(state) if state in StudyState.__members__ else None,
            sort=sort,
            down=down,
            page=max(int(page), 1) if page.isdecimal() and len(page) < 9 else 1,
        )

    def link(self, **changes: str) -> str:
        """The query string with these words in place of its own."""
        words = {
            "q": self.text,
            "state": self.state.value if self.state else "",
            "sort": self.sorting,
            "page": str(self.page),
        } | changes
        usual = {"q": "", "state": "", "sort": "-created", "page": "1"}
        given = {name: word for name, word in words.items() if word != usual[name]}
        return f"?{urlencode(given)}" if given else "?"

    @property
    def sorting(self) -> str:
        return f"-{self.sort}" if self.down else self.sort

    def sort_link(self, key: str) -> str:
        """By this column; again, the other way round."""
        down = not self.down if self.sort == key else key in _DOWN
        return self.link(sort=f"-{key}" if down else key, page="1")


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the studies asked for. `total`: of all pages; `counts` by state, whatever state is asked for; `cut`: there
    are more than were looked at."""

    query: Query
    studies: list[StudySummary]
    total: int
    counts: Mapping[StudyState, int]
    cut: bool

    @property
    def pages(self) -> int:
        return max(math.ceil(self.total / PAGE), 1)

    @property
    def first(self) -> int:
        return (self.query.page - 1) * PAGE + 1

    @property
    def everything(self) -> int:
        return sum(self.counts.values())


def list_studies(client: ManagerClient, query: Query) -> Listing:
    found: list[StudySummary] = []
    token = ""
    while len(found) < MOST:
        page = client.list_studies(page_size=_PIECE, page_token=token)
        found += page.items
        token = page.next_token
        if not token:
            break
    words = query.text.casefold().split()
    matching = [study for study in found if all(word in _text(study) for word in words)] if words else found
    counts = {state: sum(study.state is state for study in matching) for state in StudyState}
    chosen = [study for study in matching if query.state in (None, study.state)]
    if query.sorting != "-created":
        chosen.sort(key=_KEYS[query.sort], reverse=query.down)
    if query.sort == "best":
        # Those without a value stand last, whichever way round.
        chosen.sort(key=lambda study: study.best_objective is None)
    pages = max(math.ceil(len(chosen) / PAGE), 1)
    if query.page > pages:
        query = Query(query.text, query.state, query.sort, query.down, pages)
    start = (query.page - 1) * PAGE
    return Listing(query, chosen[start : start + PAGE], len(chosen), counts, bool(token))


def _text(study: StudySummary) -> str:
    return f"{study.id} {study.name} {study.owner} {study.algorithm} {study.early_stopping} {study.objective_name}".casefold()


def _best(study: StudySummary) -> float:
    value = study.best_objective
    if value is None or math.isnan(value):
        return -math.inf
    return -value if study.optimization is Objective.MINIMIZE else value
