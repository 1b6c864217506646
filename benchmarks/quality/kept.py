"""Results that are part of the repository, so that nobody has to run them again: what peers found, and what our algorithms did
as they are. Once their code is another one, what it found does not count any more."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks.quality.peers.table import PEERS
from benchmarks.quality.problems import Problem
from benchmarks.quality.runner import Row, current, is_as_it_is

PATH = Path(__file__).parent / "kept.jsonl.gz"


def kept(path: Path = PATH) -> list[Row]:
    if not path.exists():
        return []
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [r for r in rows if r["contestant"] in PEERS or is_as_it_is(r)]


def keep(rows: Iterable[Row], problems: Iterable[Problem], path: Path = PATH) -> int:
    """Adds the searches of peers, those of ours with the settings that they have by themselves, and what scores are measured
    by. A search that is there already is replaced, and one of a problem that is another one by now is dropped. Returns how many
    there are."""
    wanted = [*kept(path), *(r for r in rows if r["contestant"] in PEERS or _is_plain(r))]
    found = current(wanted, problems)
    found.sort(key=lambda r: (r["problem"], r["contestant"], r["batch"], r["seed"]))
    # Without a time in its head the same results are the same file.
    with gzip.GzipFile(path, "wb", mtime=0) as out:
        out.write("".join(json.dumps(row) + "\n" for row in found).encode())
    return len(found)


def _is_plain(row: Row) -> bool:
    return not set(":@") & set(row["contestant"]) and is_as_it_is(row)
