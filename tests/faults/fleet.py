"""Several managers on one database and one data folder, each of which can be killed, frozen, or cut off from the database."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import make_url

from katib.api.client import ManagerClient
from katib.domain.study import StudySpec, StudyState
from katib.manager.ports import Storage, StudyFilter
from katib.manager.storage.open import open_storage
from tests.e2e.harness import Process, World, finished, study, trials
from tests.storage.proxy import CuttingProxy, cutting_proxy

LEASE_S = 2.0
# A loaded machine's time.
LONG_S = 100.0

# A line for each start of an attempt, and each metric at two steps.
SCRIPT = (
    'echo "$x" >> "$COUNT/$TRIAL_ID-$KATIB_ATTEMPT"; echo loss=0.5; echo acc=0; '
    'sleep "${PAUSE:-0.3}"; echo loss=0.25; echo acc=$x'
)


@dataclass
class Member:
    """One manager, and its own way to the database."""

    name: str
    address: str
    process: Process
    proxy: CuttingProxy | None

    def pause(self) -> None:
        self.process.popen.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.popen.send_signal(signal.SIGCONT)

    def cut_off(self, *, silently: bool) -> None:
        """From the database: its connections break, or say nothing more."""
        assert self.proxy is not None
        if silently:
            self.proxy.flows.clear()
        else:
            self.proxy.refuse = True
            self.proxy.sever()

    def let_back(self) -> None:
        assert self.proxy is not None
        self.proxy.refuse = False
        self.proxy.flows.set()


class Fleet:
    """Started with `LEASE_S`, or the lease given; its services are the world's."""

    def __init__(self, katib: World, database: str, stack: ExitStack, size: int, lease: float) -> None:
        self._katib = katib
        self._database = database
        self._lease = lease
        self.count = katib.folder / "count"
        self.count.mkdir()
        katib.environment["COUNT"] = str(self.count)
        self.storage: Storage = open_storage(database)
        stack.callback(self.storage.close)
        self.members: list[Member] = []
        for i in range(size):
            proxy = None
            if database.startswith("mysql"):
                proxy = stack.enter_context(cutting_proxy(make_url(database).port or 3306))
            name = f"m{i}"
            address = f"unix:{katib.sockets}/{name}"
            self.members.append(Member(name, address, self._start(name, address, proxy), proxy))

    def _start(self, name: str, address: str, proxy: CuttingProxy | None) -> Process:
        url = self._database
        if proxy is not None:
            url = make_url(url).set(port=proxy.port).render_as_string(hide_password=False)
        return self._katib.manager("--lease", f"{self._lease:g}", database=url, address=address)

    def restart(self, member: Member) -> None:
        member.process = self._start(member.name, member.address, member.proxy)

    @property
    def addresses(self) -> str:
        return ",".join(member.address for member in self.members)

    def client(self, *members: Member) -> ManagerClient:
        return ManagerClient([m.address for m in members or self.members], 60)

    def id_of(self, member: Member) -> str:
        """The manager's id, which it has made itself at its start."""
        pid = member.process.popen.pid
        return next((m.id for m in self.storage.managers() if m.process.partition("/")[0] == str(pid)), "")

    def driven(self) -> dict[str, int]:
        """How many unfinished studies each member drives, and under the empty name how many none of them does."""
        names = {id_: member.name for member in self.members if (id_ := self.id_of(member))}
        found: dict[str, int] = {}
        for study_ in self._unfinished():
            name = names.get(study_, "")
            found[name] = found.get(name, 0) + 1
        return found

    def drivers(self) -> set[str]:
        """The ids of managers that drive unfinished studies."""
        return set(self._unfinished())

    def _unfinished(self) -> list[str]:
        states = frozenset({StudyState.RUNNING, StudyState.PAUSED})
        return [s.manager for s in self.storage.list_studies(StudyFilter("", "", states), 1000, "").items]

    def create(self, count: int, number: int, **limits: int) -> list[str]:
        """So many studies of `number` trials each, at every manager in turn."""
        made = []
        for i in range(count):
            with self.client(self.members[i % len(self.members)]) as client:
                made.append(client.create_study(spec(f"s{i}", number, **limits)))
        return made

    def assert_whole(self, study_ids: Sequence[str], number: int) -> None:
        """Every study has ended with exactly its trials; each was executed once, and what it printed is there once."""
        expected: set[str] = set()
        deadline = time.monotonic() + LONG_S
        with self.client() as client:
            for study_id in study_ids:
                summary = finished(client, study_id, max(deadline - time.monotonic(), 1))
                counts = (summary.state, summary.reason, summary.completed, summary.trials)
                assert counts == (StudyState.COMPLETED, "MaxTrialsReached", number, number), summary
                done = trials(client, study_id)
                assert [t.number for t in done] == list(range(1, number + 1))
                assert {t.attempt for t in done} == {1}, done
                for trial in done:
                    expected.add(f"{trial.id}-1")
                    (value,) = (self.count / f"{trial.id}-1").read_text().split()
                    found = [(o.name, o.value) for o in client.get_trial(trial.id).observations]
                    assert found == [("loss", 0.5), ("acc", 0.0), ("loss", 0.25), ("acc", float(value))]
        assert {path.name for path in self.count.iterdir()} == expected


def spec(name: str, number: int, **limits: int) -> StudySpec:
    return study(
        name=name, script=SCRIPT, metrics=("loss",), limits={"max_trials": number, "max_parallel": 2, **limits}
    )


@contextmanager
def fleet(katib: World, database: str, size: int = 3, lease: float = LEASE_S) -> Iterator[Fleet]:
    with ExitStack() as stack:
        it = Fleet(katib, database, stack, size, lease)
        try:
            yield it
        finally:
            # Before the world ends them: nobody can end a process that is frozen, or whose database says nothing, in order.
            for member in it.members:
                member.go_on()
                if member.proxy is not None:
                    member.let_back()
            for member in it.members:
                if member.process.popen.poll() is None:
                    member.process.end(signal.SIGKILL)
