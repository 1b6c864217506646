"""A worker as its contract drives it."""

import threading
import time
from collections.abc import Mapping, Sequence

from katib.domain.metrics import OutputLine
from katib.domain.names import new_id, run_name
from katib.domain.study import StudySpec
from katib.worker.base import RunSpec, RunStatus, Worker


class Driver:
    """Runs of one study at a worker, and bounded waits for what becomes of them."""

    def __init__(self, worker: Worker, study: StudySpec, deadline_s: float) -> None:
        self.worker = worker
        self.study = study
        self.deadline_s = deadline_s
        self.study_id = new_id()
        self.woken = threading.Event()
        worker.watch(self._wake)

    def _wake(self, study_id: str) -> None:
        if study_id == self.study_id:
            self.woken.set()

    def run(
        self,
        *command: str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        trial_id: str = "",
        attempt: int = 1,
        study: StudySpec | None = None,
    ) -> RunSpec:
        trial_id = trial_id or new_id()
        return RunSpec(
            name=run_name(trial_id, attempt),
            study_id=self.study_id,
            trial_id=trial_id,
            attempt=attempt,
            command=command,
            arguments=tuple(arguments),
            study=study or self.study,
            environment=environment or {},
        )

    def start(self, *command: str, arguments: Sequence[str] = ()) -> str:
        run = self.run(*command, arguments=arguments)
        self.worker.create(run)
        return run.name

    def until(self, what: str, condition) -> None:
        """Looks again at each wake, and now and then without."""
        deadline = time.monotonic() + self.deadline_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}; runs: {self.worker.list(self.study_id)}"
            self.woken.wait(0.05)
            self.woken.clear()

    def statuses(self) -> dict[str, RunStatus]:
        return {status.name: status for status in self.worker.list(self.study_id)}

    def status(self, name: str) -> RunStatus:
        return self.statuses()[name]

    def ended(self, name: str) -> RunStatus:
        self.until(f"{name} never ended", lambda: self.status(name).phase.ended)
        return self.status(name)

    def read(self, name: str, cursor: str = "", max_bytes: int = 65536) -> tuple[list[OutputLine], str]:
        """Everything until the output ends, with the cursor there."""
        lines: list[OutputLine] = []

        def take() -> bool:
            nonlocal cursor
            while True:
                output = self.worker.output(self.study_id, name, cursor, max_bytes)
                lines.extend(output.lines)
                moved, cursor = output.cursor != cursor, output.cursor
                assert len(cursor) <= 64
                if output.end or not moved:
                    return output.end

        self.until(f"the output of {name} never ended", take)
        return lines, cursor

    def texts(self, name: str) -> list[str]:
        return [line.text for line in self.read(name)[0]]

    def printed(self, name: str, text: str) -> None:
        """Waits for a line."""
        self.until(
            f"{name} never printed {text!r}",
            lambda: text in [line.text for line in self.worker.output(self.study_id, name, "", 65536).lines],
        )
