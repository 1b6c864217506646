"""Metrics in files are read while they are written: all of them, each once."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboardX import SummaryWriter

from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsSource
from katib.domain.event_files import MAX_RECORD
from katib.domain.metric_lines import JsonLines, TextLines
from katib.domain.metrics import Observation
from katib.worker.base import MetricFiles
from katib.worker.metric_files import open_metric_files
from katib.worker.metric_place import MAX_DEPTH, MAX_ENTRIES, Place
from tests.worker.event_writer import event, message, record, simple

TENSORBOARD = MetricsCollector(source=MetricsSource.TENSORBOARD)
FILE = MetricsCollector(source=MetricsSource.FILE)
JSON_FILE = MetricsCollector(MetricsFormat.JSON, source=MetricsSource.FILE)


def folder_reader(path: Path, *names: str) -> MetricFiles:
    return open_metric_files(TENSORBOARD, str(path), TextLines(()), names, 1)


def file_reader(path: Path) -> MetricFiles:
    return open_metric_files(FILE, str(path), TextLines(("acc",)), ("acc",), 1)


def read(files: MetricFiles, *, ended: bool = False, max_bytes: int = 1 << 20) -> list[Observation]:
    found: list[Observation] = []
    for _ in range(10_000):
        piece = files.read(max_bytes, ended=ended)
        found += piece.observations
        if piece.end:
            return found
    raise AssertionError("it goes on for ever")


def keys(observations: list[Observation]) -> set[tuple[str, int, int]]:
    return {(o.source, o.position, o.ordinal) for o in observations}


class TestFile:
    def test_lines_are_read_as_they_come_and_the_last_when_nothing_follows(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics"
        files = file_reader(path)
        assert read(files) == []
        path.write_text("acc=0.1 step=1\nacc=0.")
        assert [(o.value, o.step, o.position) for o in read(files)] == [(0.1, 1, 0)]
        with path.open("a") as file:
            file.write("2\nacc=0.3")
        assert [o.value for o in read(files)] == [0.2]
        assert [o.value for o in read(files, ended=True)] == [0.3]
        assert read(files, ended=True) == []

    def test_one_that_begins_anew_gives_the_same_keys(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics"
        path.write_text("".join(f"acc={i}\n" for i in range(1000)))
        first = read(file_reader(path), ended=True)
        again = read(file_reader(path), ended=True, max_bytes=64)
        assert first == again
        assert len(keys(first)) == 1000

    def test_one_written_anew_is_read_from_its_beginning_however_long_it_is_and_that_is_said(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "metrics"
        files = file_reader(path)
        found: list[Observation] = []
        path.write_text("acc=0.1 step=1\nacc=0.2\n")
        found += read(files)
        for values in ((0.3, 0.4), (0.5, 0.6, 0.7), (0.8,)):
            other = tmp_path / "other"
            other.write_text("".join(f"acc={value} n=123456\n" for value in values))
            other.replace(path)
            piece = files.read(1 << 20, ended=False)
            assert [o.value for o in piece.observations] == list(values)
            assert "written anew" in piece.note
            found += piece.observations
        assert len(keys(found)) == len(found) == 8
        # One that has the same beginning is the same file.
        other.write_text(path.read_text() + "acc=0.9\n")
        other.replace(path)
        piece = files.read(1 << 20, ended=True)
        assert ([o.value for o in piece.observations], piece.note) == ([0.9], "")

    def test_json_lines_are_read(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"epoch": 1, "acc": 0.5}\n{"epoch": 2, "acc": 0.75}\n')
        files = open_metric_files(JSON_FILE, str(path), JsonLines(("acc",)), ("acc",), 3)
        assert [(o.value, o.step, o.attempt) for o in read(files, ended=True)] == [(0.5, 1, 3), (0.75, 2, 3)]

    def test_what_is_no_file_is_nothing_and_is_not_waited_at(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "events.out.tfevents.1").mkdir()
        os.mkfifo(tmp_path / "events.out.tfevents.2")
        assert read(file_reader(tmp_path / "pipe"), ended=True) == []
        assert read(file_reader(tmp_path), ended=True) == []
        assert "no regular file" in file_reader(tmp_path / "pipe").read(100, ended=True).trouble
        assert read(folder_reader(tmp_path, "acc"), ended=True) == []


class TestEventFolder:
    def test_what_a_library_writes_is_read(self, tmp_path: Path) -> None:
        with SummaryWriter(str(tmp_path)) as writer:
            writer.add_text("note", "hello", 0)
            for step in range(100):
                writer.add_scalar("val/acc", step / 128, step)
                writer.add_scalar("Train Loss", 1.0, step)
            writer.add_histogram("weights", [1.0, 2.0], 1)
        with SummaryWriter(str(tmp_path / "validation")) as writer:
            writer.add_scalar("epoch_loss", 0.5, 3)
        files = folder_reader(tmp_path, "val/acc", "Train_Loss", "validation/epoch_loss")
        found = read(files, ended=True)
        assert [(o.value, o.step) for o in found if o.name == "val/acc"] == [(s / 128, s) for s in range(100)]
        assert [o.step for o in found if o.name == "Train_Loss"] == list(range(100))
        assert [(o.value, o.step) for o in found if o.name == "validation/epoch_loss"] == [(0.5, 3)]
        assert len(keys(found)) == len(found)
        assert {"val/acc", "Train_Loss", "validation/epoch_loss"} <= set(files.seen)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(cuts=st.lists(st.integers(0, 2000), max_size=6), max_bytes=st.sampled_from([1, 100, 1 << 20]))
    def test_however_it_is_cut_while_it_is_written_each_value_comes_once(
        self, tmp_path: Path, cuts: list[int], max_bytes: int
    ) -> None:
        path = tmp_path / "events.out.tfevents.1"
        path.unlink(missing_ok=True)
        whole = b"".join(record(event(step, simple("acc", step), simple("loss", 1))) for step in range(20))
        files = folder_reader(tmp_path, "acc")
        found: list[Observation] = []
        for cut in sorted(cuts):
            path.write_bytes(whole[:cut])
            found += read(files, max_bytes=max_bytes)
        path.write_bytes(whole)
        found += read(files, ended=True, max_bytes=max_bytes)
        assert [(o.value, o.step) for o in found] == [(step, step) for step in range(20)]

    def test_a_damaged_file_is_read_up_to_the_damage_and_the_others_whole(self, tmp_path: Path) -> None:
        good = b"".join(record(event(step, simple("acc", step))) for step in range(3))
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 1
        (tmp_path / "a.tfevents").write_bytes(bad)
        (tmp_path / "b.tfevents").write_bytes(good)
        (tmp_path / "c.tfevents").write_bytes(b"this is no event file at all, whatever its name")
        files = folder_reader(tmp_path, "acc")
        assert [o.step for o in read(files)] == [0, 0, 1, 2]
        # What was not yet to be seen may come: as long as the run goes on it is looked at again.
        (tmp_path / "a.tfevents").write_bytes(good)
        piece = files.read(1 << 20, ended=True)
        assert [o.step for o in piece.observations] == [1, 2]
        assert "c.tfevents is passed over from byte 0 on" in piece.note
        assert read(files, ended=True) == []

    def test_huge_records_are_passed_over(self, tmp_path: Path) -> None:
        image = record(message(5, message(1, bytes(MAX_RECORD + 1))))
        parts = [record(event(1, simple("acc", 1))), image, record(event(2, simple("acc", 2)))]
        (tmp_path / "a.tfevents").write_bytes(b"".join(parts))
        assert [o.step for o in read(folder_reader(tmp_path, "acc"), ended=True)] == [1, 2]

    def test_a_file_that_comes_later_is_read_too(self, tmp_path: Path) -> None:
        files = folder_reader(tmp_path / "logs", "acc")
        assert read(files) == []
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "a.tfevents").write_bytes(record(event(1, simple("acc", 1))))
        assert [o.step for o in read(files)] == [1]
        (tmp_path / "logs" / "b.tfevents").write_bytes(record(event(2, simple("acc", 1))))
        # The folder is looked through now and then, and once more at the end.
        assert read(files) == []
        found = read(files, ended=True)
        assert [o.step for o in found] == [2]

    def test_one_that_cannot_be_read_takes_nothing_from_the_others_and_is_said(self, tmp_path: Path) -> None:
        whole = record(event(1, simple("acc", 1)))
        for name in "ac":
            (tmp_path / f"{name}.tfevents").write_bytes(whole)
        (tmp_path / "b.tfevents").symlink_to("b.tfevents")
        files = open_metric_files(TENSORBOARD, str(tmp_path), TextLines(()), ("acc",), 1)
        assert len(read(files)) == 2
        assert "b.tfevents cannot be read" in files.read(1 << 20, ended=False).trouble
        (tmp_path / "d.tfevents").write_bytes(whole)
        (tmp_path / "b.tfevents").unlink()
        # One that was found, and that it is then not allowed to read.
        (tmp_path / "c.tfevents").unlink()
        (tmp_path / "c.tfevents").symlink_to("c.tfevents")
        piece = files.read(1 << 20, ended=True)
        assert [o.step for o in piece.observations] == [1]
        assert "c.tfevents cannot be read: Too many levels of symbolic links" in piece.trouble

    @pytest.mark.long
    def test_a_tree_without_end_is_looked_through_up_to_a_limit(self, tmp_path: Path) -> None:
        deep = tmp_path.joinpath(*["d"] * (MAX_DEPTH + 1))
        deep.mkdir(parents=True)
        for folder in (deep, deep.parent):
            (folder / "a.tfevents").write_bytes(record(event(1, simple("acc", 1))))
        assert list(Place(str(tmp_path)).walk()) == ["d/" * MAX_DEPTH + "a.tfevents"]
        for number in range(MAX_ENTRIES):
            (tmp_path / str(number)).touch()
        assert len(list(Place(str(tmp_path)).walk())) <= MAX_ENTRIES


class TestVolume:
    """A program that may write there may not be able to read what the manager can."""

    def test_a_link_is_not_followed_wherever_it_stands(self, tmp_path: Path) -> None:
        volume, secret = tmp_path / "claim", tmp_path / "secret"
        (volume / "folder").mkdir(parents=True)
        secret.mkdir()
        (secret / "m").write_text("acc=0.5\n")
        (secret / "a.tfevents").write_bytes(record(event(1, simple("acc", 1))))
        (volume / "file").symlink_to(secret / "m")
        (volume / "linked").symlink_to(secret)
        (volume / "folder" / "sub").symlink_to(secret)
        (volume / "folder" / "b.tfevents").symlink_to(secret / "a.tfevents")
        for collector, path, said in [
            (FILE, "file", "Too many levels of symbolic links"),
            (FILE, "linked/m", "Not a directory"),
            (TENSORBOARD, "linked", "Not a directory"),
            (TENSORBOARD, "folder", ""),
        ]:
            files = open_metric_files(collector, str(volume / path), TextLines(("acc",)), ("acc",), 1, root=str(volume))
            piece = files.read(1 << 20, ended=True)
            assert piece.observations == []
            assert said in piece.trouble
            assert bool(said) == bool(piece.trouble)

    def test_what_is_there_itself_is_read(self, tmp_path: Path) -> None:
        volume = tmp_path / "claim"
        (volume / "run" / "train").mkdir(parents=True)
        (volume / "m").write_text("acc=0.5\n")
        (volume / "run" / "train" / "a.tfevents").write_bytes(record(event(1, simple("acc", 1))))
        root = str(volume)
        lines = open_metric_files(FILE, f"{root}/m", TextLines(("acc",)), ("acc",), 1, root)
        events = open_metric_files(TENSORBOARD, f"{root}/run", TextLines(()), ("train/acc",), 1, root)
        assert [o.value for o in read(lines, ended=True)] == [0.5]
        assert [o.step for o in read(events, ended=True)] == [1]


@pytest.mark.parametrize("wall_time", [float("nan"), 1e300, -1e300])
def test_a_time_that_is_none_is_the_beginning_of_time(tmp_path: Path, wall_time: float) -> None:
    (tmp_path / "a.tfevents").write_bytes(record(event(1, simple("acc", 1), wall_time=wall_time)))
    (observation,) = read(folder_reader(tmp_path, "acc"), ended=True)
    assert observation.time.year == 1970
