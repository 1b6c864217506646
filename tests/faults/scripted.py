"""What trial.sh does and prints, said a second time: it all follows from the trial's id and the attempt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("trial.sh")
EXIT_CODE: Final = 3

PLAIN: Final = "plain"
SPLIT: Final = "split"  # each line comes in two pieces
FLAKY: Final = "flaky"  # some fail once, some twice, some always


def command(steps: int, pause: float, mode: str = PLAIN) -> tuple[str, ...]:
    return ("bash", str(SCRIPT), str(steps), f"{pause:g}", mode)


def _key(trial_id: str) -> int:
    return int(trial_id[1:9], 16)


def fails(command_: tuple[str, ...], trial_id: str, attempt: int) -> bool:
    key = _key(trial_id)
    return command_[4] == FLAKY and (key % 16 == 15 or key % 4 >= attempt)


def printed(command_: tuple[str, ...], trial_id: str, attempt: int) -> list[tuple[str, float]]:
    """Every metric that an attempt prints that nobody ends before."""
    key = _key(trial_id)
    steps = int(command_[2]) * (3 if key % 5 == 0 else 1)
    if fails(command_, trial_id, attempt):
        steps = (steps + 1) // 2
    values = []
    for step in range(1, steps + 1):
        values.append(("mark", float((key * 100 + attempt) * 100 + step)))
        values.append(("acc", float(f"0.{key:010d}{step:02d}")))
    return values


@dataclass(frozen=True, slots=True)
class Note:
    """What an attempt wrote down: each beginning (when, its process, its arguments) and each end (when, its exit code)."""

    starts: tuple[tuple[float, int, str], ...]
    ends: tuple[tuple[float, int], ...]


def read_notes(folder: Path) -> dict[tuple[str, int], Note]:
    notes = {}
    for path in folder.iterdir():
        trial_id, _, attempt = path.name.partition("-")
        lines = [line.split(" ", 3) for line in path.read_text().splitlines()]
        notes[trial_id, int(attempt)] = Note(
            tuple((float(line[1]), int(line[2]), line[3]) for line in lines if line[0] == "start"),
            tuple((float(line[1]), int(line[2])) for line in lines if line[0] == "end"),
        )
    return notes
