"""A study that is watched, on a terminal: one picture that is drawn again and again in its place."""

from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from katib.cli.terminal import STATE_COLOURS, clean, show_age, show_number, show_reason
from katib.cli.watch_state import Watched, show_best, show_counts, show_parameters
from katib.domain.trial import Trial
from katib.domain.views import StudySummary

_REFRESHES = 4
_BAR_WIDTH = 40
# Lines that are not trials: two of the title, counts, two of the best, the table's header, `and more`, a remark, the cursor.
_OTHER_LINES = 9


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, whole: the thread that draws never sees it change."""

    study: StudySummary
    unfinished: list[Trial]
    best: str
    remark: str = ""

    def draw(self, height: int, now: datetime) -> RenderableType:
        study = self.study
        title = Text.assemble(
            "Study ",
            (study.id, "bold"),
            f" {clean(study.name)}  ",
            (study.state.value, STATE_COLOURS.get(study.state.value, "")),
            f"  {show_reason(study.reason, study.message)}  ",
            (show_age(study.created_at, study.ended_at or now), "dim"),
        )
        counts: list[RenderableType] = [Text(show_counts(study))]
        if study.max_trials:
            counts.insert(0, ProgressBar(study.max_trials, study.finished_trials, width=_BAR_WIDTH))
        progress = Table.grid(padding=(0, 1))
        progress.add_row(*counts)
        lines: list[RenderableType] = [title, progress, Text.assemble(("Best: ", "bold"), self.best)]
        if self.unfinished:
            lines.append(self._trials(max(height - _OTHER_LINES, 1), now))
        if self.remark:
            lines.append(Text(self.remark, "yellow"))
        return Group(*lines)

    def _trials(self, most: int, now: datetime) -> RenderableType:
        # The last column alone gives way where the terminal is narrow.
        table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
        for name in ("TRIAL", "ID", "STATE", self.study.objective_name, "TOOK"):
            table.add_column(Text(clean(name)), no_wrap=True)
        table.add_column("PARAMETERS, OR WHY IT WAITS", no_wrap=True, overflow="ellipsis", ratio=1)
        for trial in self.unfinished[:most]:
            table.add_row(
                str(trial.number),
                trial.id,
                Text(trial.state.value, STATE_COLOURS.get(trial.state.value, "")),
                show_number(trial.objective),
                show_age(trial.started_at, now),
                Text(show_reason(trial.reason, trial.message) or show_parameters(trial)),
            )
        more = len(self.unfinished) - most
        return Group(table, Text(f"and {more} more", "dim")) if more > 0 else table


class LiveView:
    """The picture, four times a second, so that the times in it go on; it is wiped when the watching ends."""

    def __init__(self, watched: Watched, console: Console | None = None) -> None:
        self._watched = watched
        self._console = console or Console()
        self._picture = self._take()
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=_REFRESHES,
            transient=True,
        )

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, news: list[Trial]) -> None:  # noqa: ARG002 -- the picture shows what is, not what was
        self._picture = self._take()

    def say(self, text: str) -> None:
        self._picture = self._take(text)

    def _take(self, remark: str = "") -> Picture:
        return Picture(self._watched.study, self._watched.unfinished, show_best(self._watched), remark)

    def _draw(self) -> RenderableType:
        return self._picture.draw(self._console.height, datetime.now(UTC))
