"""Surfaces that are functions: the study file, the metric parsers, and what the command line prints."""

import gc
import io
import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from katib.api import api_pb2 as pb
from katib.api.model_converters import model_from_proto
from katib.api.study_converters import spec_from_proto, summary_from_proto
from katib.api.trial_converters import observation_from_proto, trial_from_proto
from katib.cli.documents import observation_document, study_document, trial_document
from katib.cli.errors import report
from katib.cli.logs import Sanitiser
from katib.cli.output import to_csv, to_json, to_yaml
from katib.cli.terminal import fields, show_reason, table
from katib.domain.collector import MetricsCollector, MetricsFormat, MetricsSource
from katib.domain.errors import InvalidArgumentError, KatibError
from katib.domain.event_files import FOOTER, HEADER, DamagedError, check_data, masked_crc, parse_event, record_length
from katib.domain.metric_lines import line_parser, parse_output
from katib.domain.metrics import OutputLine
from katib.domain.study_file import parse_study
from katib.domain.study_file_errors import StudyFileError
from katib.domain.study_file_writer import dump_study
from katib.manager.patterns import compile_pattern
from katib.worker.lines import line_text
from katib.worker.metric_files import open_metric_files
from tests.fuzz.inputs import data, generated, mutated, text
from tests.fuzz.surface import BrokenError, own_memory

_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


class _Function:
    may_grow = 24.0

    def memory(self) -> float:
        gc.collect()
        return own_memory()

    def check(self) -> None:
        pass


class _StudyFile(_Function):
    """Any text is a study, or is refused with a sentence; a study that was read can be written and read again."""

    def __init__(self) -> None:
        examples = Path(__file__).parents[2] / "katib/dashboard/examples"
        self._good = [path.read_bytes() for path in sorted(examples.glob("*.yaml"))]
        self._words = (
            b"&a",
            b"*a",
            b"<<: *a",
            b"!!python/object:os.system",
            b"!!binary",
            b"? ",
            b"- ",
            b"---",
            b"|",
            b">",
        )

    def put(self, rnd: Random) -> str:
        content = self._content(rnd).decode(errors="replace" if rnd.random() < 0.5 else "surrogateescape")
        try:
            study = parse_study(content, "study.yaml")
        except StudyFileError as error:
            # It is shown, whatever was in the file.
            if not str(error).encode(errors="strict"):
                raise BrokenError("refused without a sentence") from None
            return "refused"
        again = parse_study(dump_study(study.spec), "again.yaml")
        if again.spec != study.spec:
            raise BrokenError(f"{study.spec} was read again as {again.spec}")
        return "read"

    def _content(self, rnd: Random) -> bytes:
        good = rnd.choice(self._good)
        match rnd.randrange(6):
            case 0:
                return mutated(rnd, good)
            case 1:
                return data(rnd)
            case 2:
                lines = good.split(b"\n")
                rnd.shuffle(lines)
                return b"\n".join(lines)
            case 3:
                lines = good.split(b"\n")
                for _ in range(rnd.choice((1, 2, 4))):
                    at = rnd.randrange(len(lines))
                    key, colon, _ = lines[at].partition(b":")
                    lines[at] = key + colon + b" " + json.dumps(text(rnd)).encode()
                return b"\n".join(lines)
            case 4:
                lines = good.split(b"\n")
                at = rnd.randrange(len(lines))
                lines.insert(at, rnd.choice(self._words) + b" " + data(rnd)[:300])
                return b"\n".join(lines)
            case _:
                return json.dumps(_json(rnd, 4)).encode()


def _json(rnd: Random, depth: int) -> object:
    kind = rnd.randrange(8) if depth else rnd.randrange(5)
    match kind:
        case 0 | 1:
            return text(rnd)[:3000]
        case 2:
            return rnd.choice((0, -1, 2**70, 1.5, 1e300, float("nan"), float("inf")))
        case 3:
            return rnd.choice((True, False, None))
        case 4 | 5:
            keys = (
                "name",
                "parameters",
                "objective",
                "algorithm",
                "command",
                "pod",
                "limits",
                "min",
                "max",
                "list",
                "type",
            )
            return {
                rnd.choice(keys) if rnd.random() < 0.8 else text(rnd)[:100]: _json(rnd, max(depth - 1, 0))
                for _ in range(rnd.randrange(6) if depth else 0)
            }
        case _:
            return [_json(rnd, depth - 1) for _ in range(rnd.randrange(6))]


class _Metrics(_Function):
    """Whatever a trial prints, or leaves as an event file: what is in it is taken, the rest is passed over."""

    _PATTERNS: Final = (
        r"(?P<name>\w+)=(?P<value>\S+)",
        r"(?P<value>.*)",
        r"epoch (?P<step>.*?) .*loss (?P<value>[-+.\w]+)",
        r"((?P<value>(a*)*)*)*$",
        r"(?P<value>\d*)(?P<step>\d*)",
    )
    _NAMES: Final = ("accuracy", "loss", "\U0001f600", "<script>")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._text = MetricsCollector(MetricsFormat.TEXT)
        self._json = MetricsCollector(MetricsFormat.JSON)

    def put(self, rnd: Random) -> str:
        match rnd.randrange(6):
            case 0:
                return self._lines(rnd, self._text)
            case 1:
                return self._lines(rnd, self._json)
            case 2:
                return self._lines(rnd, MetricsCollector(MetricsFormat.PATTERN, rnd.choice(self._PATTERNS)))
            case 3:
                return self._pattern(rnd)
            case 4:
                return self._event(rnd)
            case _:
                return self._file(rnd)

    def _lines(self, rnd: Random, collector: MetricsCollector) -> str:
        parser = line_parser(collector, "loss", self._NAMES, compile_pattern)
        lines = [OutputLine(line_text(self._line(rnd)), i, _NOW) for i in range(rnd.choice((1, 3)))]
        found = parse_output(lines, parser, 1)
        for observation in found:
            if observation.step is not None and not -(2**63) <= observation.step < 2**63:
                raise BrokenError(f"step {observation.step} fits no column")
        return "metrics" if found else "none"

    def _line(self, rnd: Random) -> bytes:
        value = rnd.choice(
            ("1", "0.5", "nan", "-inf", "1e999", "1e-999", "0x1", "1_0", "٣", "9" * 5000, text(rnd)[:100])
        )
        name = rnd.choice((*self._NAMES, text(rnd)[:50]))
        step = rnd.choice(("1", "-1", "1e300", "9" * 400, "nan", text(rnd)[:20]))
        match rnd.randrange(6):
            case 0:
                line = f"{name}={value} epoch={step}"
            case 1:
                line = json.dumps({name: value, "epoch": step, "x": _json(rnd, 3)}, ensure_ascii=rnd.random() < 0.5)
            case 2:
                line = f'{{"{name}": {value}, "step": {step}}}'
            case 3:
                entries = {
                    "reporter": text(rnd)[:80],
                    "sequence": rnd.choice((1, 0, -1, 2**63, 1.5, "1", None)),
                    "name": name,
                    "value": value,
                    "step": rnd.choice((1, 2**63, -(2**63), 1e30, "x")),
                    "time": rnd.choice((0.0, 1e10, 1e30, -1.0, float("nan"), float("inf"), "now")),
                }
                line = "katib-report " + json.dumps(entries)
            case 4:
                return mutated(rnd, b'katib-report {"reporter": "", "sequence": 1, "name": "loss", "value": "1"}')
            case _:
                return data(rnd)
        raw = line.encode(errors="replace")
        return mutated(rnd, raw) if rnd.random() < 0.3 else raw

    def _pattern(self, rnd: Random) -> str:
        pattern = text(rnd)[:2000]
        if rnd.random() < 0.7:
            pattern = mutated(rnd, rnd.choice(self._PATTERNS).encode()).decode(errors="replace")
        try:
            compiled = compile_pattern(pattern)
        except InvalidArgumentError:
            return "no pattern"
        parser = line_parser(MetricsCollector(MetricsFormat.PATTERN, pattern), "loss", self._NAMES, lambda _: compiled)
        for reading in parser(line_text(self._line(rnd))):
            if reading.name not in self._NAMES:
                raise BrokenError(f"{reading.name} was not asked for")
        return "pattern"

    def _event(self, rnd: Random) -> str:
        try:
            event = parse_event(mutated(rnd, _EVENT) if rnd.random() < 0.8 else data(rnd))
        except DamagedError:
            return "damaged"
        return "event" if event.scalars else "no scalars"

    def _file(self, rnd: Random) -> str:
        """A folder that a program may fill with anything."""
        folder = self._folder / "events"
        folder.mkdir(exist_ok=True)
        record = mutated(rnd, _EVENT) if rnd.random() < 0.5 else _EVENT
        content = b"".join(_record(record) for _ in range(rnd.choice((1, 3))))
        if rnd.random() < 0.6:
            content = mutated(rnd, content)
        (folder / "events.out.tfevents.1").write_bytes(content)
        collector = MetricsCollector(source=MetricsSource.TENSORBOARD)
        files = open_metric_files(collector, str(folder), lambda _: (), self._NAMES, 1, str(self._folder))
        piece = files.read(1_000_000, ended=True)
        try:
            check_data(content[HEADER : HEADER + len(record)], content[-FOOTER:])
            record_length(content[:HEADER].ljust(HEADER, b"\0"))
        except (DamagedError, ValueError, Exception) as error:
            if not isinstance(error, DamagedError) and type(error).__name__ != "error":
                raise
        return "events" if piece.observations else "no events"


def _record(record: bytes) -> bytes:
    length = len(record).to_bytes(8, "little")
    return length + masked_crc(length).to_bytes(4, "little") + record + masked_crc(record).to_bytes(4, "little")


# wall time, step 7, and a summary with `loss` as a simple value and `accuracy` as a tensor.
_EVENT: Final = (
    bytes.fromhex("09000000000000f03f1007")
    + b"\x2a\x26"
    + (
        b"\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f"
        + b"\x0a\x17\x0a\x08accuracy\x42\x0b\x08\x01\x12\x00\x2a\x04\x00\x00\x80\x3e"
    )[:38]
)


class _Terminal(_Function):
    """Whatever names, messages and output hold, a terminal is given nothing that it obeys."""

    def put(self, rnd: Random) -> str:
        kind = rnd.randrange(7)
        shown = self._shown(rnd, kind)
        for c in shown:
            # Controls, what has no shape, and what ends a line for some readers. Tabs and line feeds end nothing.
            if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
                raise BrokenError(f"kind {kind} shows {c!r} in {shown!r:.500}")
        return f"shown {kind}"

    def _shown(self, rnd: Random, kind: int) -> str:
        try:
            match kind:
                case 0:
                    sanitise = Sanitiser()
                    return "".join(sanitise(data(rnd)) for _ in range(3))
                case 1:
                    rows = [[text(rnd) for _ in range(3)] for _ in range(3)]
                    return table(("A", "B", "C"), rows, rnd.choice((None, 20, 80)))
                case 2:
                    return fields(*((text(rnd), text(rnd)) for _ in range(3))) + show_reason(text(rnd), text(rnd))
                case 3:
                    trial = trial_from_proto(generated(rnd, pb.Trial(), {"status": (0, 1, 2, 3, 120)}))
                    return to_json(trial_document(trial)) + to_yaml(trial_document(trial))
                case 4:
                    study = summary_from_proto(generated(rnd, pb.StudyInfo(), {"state": (1, 2, 3)}))
                    config = generated(rnd, pb.StudyConfig(), {"objective_strategy": (0, 1, 2), "template": ("",)})
                    config.pod.template = ""
                    spec = spec_from_proto(config)
                    return to_json(study_document(study)) + dump_study(spec)
                case 5:
                    model_from_proto(generated(rnd, pb.ModelInfo(), {}))
                    observation = observation_from_proto(generated(rnd, pb.Observation(), {}), _NOW)
                    document = observation_document(observation)
                    to_csv([document], list(document))
                    return to_json(document)
                case _:
                    with redirect_stderr(io.StringIO()) as said:
                        report(KatibError(text(rnd)))
                    return said.getvalue()
        except InvalidArgumentError:
            # A peer's message that cannot be one of ours.
            return ""


@contextmanager
def study_file(_folder: Path) -> Iterator[_StudyFile]:
    yield _StudyFile()


@contextmanager
def metrics(folder: Path) -> Iterator[_Metrics]:
    yield _Metrics(folder)


@contextmanager
def terminal(_folder: Path) -> Iterator[_Terminal]:
    yield _Terminal()
