"""A campaign against the programs themselves: studies of differing character run at once, while the manager and its services
are killed by SIGKILL at random instants and started again. In the end every study must be what an undisturbed one is.

The seed determines the blows and what the users do, not what the machine makes of it: a campaign is repeated, its outcome may
differ. `make faults` runs the long one; tests/faults/test_campaign.py a short one of each kind.
"""

import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from katib.manager.modelstore.open import open_model_store
from katib.manager.storage.open import open_storage
from tests.e2e.harness import BIN, Process, World
from tests.faults import blows, checks, forgetful, studies
from tests.faults.blows import MANAGER, Blow, Events, Moment
from tests.faults.studies import DELETE, Asked
from tests.faults.users import User

# How long the studies may take to end once nothing is killed any more: a loaded machine's time, many times over.
END_S: Final = 240.0
# How long a program may take to start on a loaded machine.
_START_S: Final = 60.0
# The first starts, before the tables are there, are cut short so often.
_FIRST: Final = 4
_TICK_S: Final = 0.05
_VARIABLE: Final = "COUNT"


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a campaign: at least so many kills of the manager over at least so many trials, begun within `most_s`.
    `share`: the size of its studies, of the usual one."""

    database: str
    seed: int
    kills: int
    trials: int
    share: float = 1.0
    most_s: float = 3600.0


@dataclass
class Figures:
    """How it went. `begun` counts trials that began, those of deleted studies too; `trials` those that are there in the end."""

    kills: int = 0
    gentle: int = 0
    service_kills: int = 0
    freezes: int = 0
    # How often the forgetful service was asked for a study that it had forgotten.
    forgotten: int = 0
    begun: int = 0
    studies: int = 0
    trials: int = 0
    attempts: int = 0
    observations: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        forgotten = f", {self.forgotten} questions for what a service had forgotten" if self.forgotten else ""
        return (
            f"{self.kills} kills of the manager ({self.gentle} while it ended by SIGTERM), {self.service_kills} of services, "
            f"{self.freezes} times one frozen{forgotten}, "
            f"{self.studies} studies, {self.trials or self.begun} trials, {self.seconds:.0f} s"
        )


class Campaign:
    def __init__(self, world: World, order: Order, show: Callable[[str], None] = print) -> None:
        self._world = world
        self._order = order
        self._show = show
        self._rng = random.Random(f"{order.seed}/blows")
        self._notes = world.folder / "notes"
        self._notes.mkdir()
        self._events = Events(world.sockets / "events")
        world.environment |= {_VARIABLE: str(self._notes), "EVENTS": str(self._events.pipe)}
        self._figures = Figures()
        self._asked: list[Asked] = []
        self._wrong: list[str] = []
        self._lock = threading.Lock()
        self._users: list[threading.Thread] = []
        self._calm = threading.Event()
        self._end_by = float("inf")
        self._begun_at = time.monotonic()
        self._shown_at = 0.0
        self._manager: Process | None = None
        self._manager_at = 0.0
        self._usual_start = 1.0
        # Services that run, and when those that do not are to be started.
        self._services: dict[str, Process] = {}
        self._due: dict[str, float] = dict.fromkeys(studies.SERVICES, 0.0)
        # Services that are stopped: until when, and whether they are killed then.
        self._frozen: dict[str, tuple[float, bool]] = {}

    def run(self) -> Figures:
        """Raises AssertionError with everything that is wrong in the end."""
        self._show(f"campaign: seed {self._order.seed}, {self._world.folder}")
        try:
            self._attack()
            self._come_to_an_end()
        finally:
            self._calm.set()
            self._end_by = 0.0
            for user in self._users:
                user.join()
            self._events.close()
        self._figures.seconds = time.monotonic() - self._begun_at
        if self._wrong:
            raise AssertionError(
                f"seed {self._order.seed}: {len(self._wrong)} things are wrong after {self._figures}; see "
                f"{self._world.folder}\n" + "\n".join(self._wrong[:50])
            )
        return self._figures

    # Killing

    def _attack(self) -> None:
        for _ in range(_FIRST):
            self._strike(blows.draw(self._rng, studies.VICTIMS, young=True))
        self._begin_manager()
        self._await_ready()
        self._usual_start = time.monotonic() - self._manager_at
        self._users = [threading.Thread(target=self._use, args=(kind,), name=kind.__name__) for kind in studies.KINDS]
        for user in self._users:
            user.start()
        while not self._enough() and not self._wrong:
            self._strike(blows.draw(self._rng, studies.VICTIMS))
            if time.monotonic() - self._begun_at > self._order.most_s:
                self._blame(f"not done within {self._order.most_s:g} s: {self._figures}")
        self._calm.set()

    def _enough(self) -> bool:
        return self._figures.kills >= self._order.kills and self._figures.begun >= self._order.trials

    def _strike(self, blow: Blow) -> None:
        """Waits for its instant, kills, and has what it killed started again."""
        if MANAGER in blow.targets:
            self._begin_manager()
        self._await(blow)
        for name in blow.targets - {MANAGER}:
            if blow.frozen is not None and name in self._services and name not in self._frozen:
                self._services[name].popen.send_signal(signal.SIGSTOP)
                self._frozen[name] = (time.monotonic() + blow.frozen, blow.killed)
                self._figures.freezes += 1
            elif (service := self._services.pop(name, None)) is not None:
                self._frozen.pop(name, None)
                service.kill()
                self._figures.service_kills += 1
                self._due[name] = time.monotonic() + blow.away / 2
        if MANAGER in blow.targets:
            self._kill_manager(blow)
            self._pause(blow.away)

    def _await(self, blow: Blow) -> None:
        if blow.moment is Moment.YOUNG:
            self._pause(self._manager_at + blow.delay * self._usual_start - time.monotonic())
            return
        self._await_ready()
        if blow.moment is Moment.WORK:
            self._pause(blow.delay)
            return
        deadline = time.monotonic() + 3.0
        while not self._events.wait(blow.event, _TICK_S) and time.monotonic() < deadline:
            self._mend()
        # To the millisecond, where a pause would look after the services.
        time.sleep(min(blow.delay, 0.1))

    def _kill_manager(self, blow: Blow) -> None:
        manager = self._manager
        assert manager is not None
        if manager.popen.poll() is not None:
            self._blame(f"the manager ended by itself with code {manager.popen.returncode}: {manager.output[-2000:]}")
        elif blow.gentle is not None:
            manager.popen.send_signal(signal.SIGTERM)
            time.sleep(blow.gentle)
        manager.kill()
        if manager.popen.returncode == -signal.SIGKILL:
            self._figures.kills += 1
            self._figures.gentle += blow.gentle is not None
        elif manager.popen.returncode != 0 and " settings: " in manager.output:
            # Before it says so, a SIGTERM finds nothing to end.
            self._blame(f"a SIGTERM ended the manager with code {manager.popen.returncode}: {manager.output[-2000:]}")
        self._manager = None

    # Starting

    def _begin_manager(self) -> None:
        if self._manager is None:
            self._manager_at = time.monotonic()
            self._manager = self._world.manager(database=self._order.database, wait=False)

    def _await_ready(self) -> None:
        self._begin_manager()
        manager = self._manager
        assert manager is not None
        while " ready" not in manager.output and manager.popen.poll() is None:
            if time.monotonic() - self._manager_at > _START_S:
                self._blame(f"the manager does not start within {_START_S:g} s: {manager.output}")
                return
            self._pause(_TICK_S / 2)

    def _pause(self, seconds: float) -> None:
        """Waits, and meanwhile starts what is to be started and says how it goes."""
        until = time.monotonic() + seconds
        while True:
            self._mend()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _TICK_S))

    def _mend(self) -> None:
        now = time.monotonic()
        self._thaw(now)
        for name, service in list(self._services.items()):
            code = service.popen.poll()
            if code is not None:
                del self._services[name]
                self._due[name] = now + self._rng.uniform(0.0, 0.5)
                if (name, code) != (forgetful.ALGORITHM, forgetful.CRASHED):
                    self._blame(f"service {name} ended by itself with code {code}: {service.output[-2000:]}")
        for name, due in list(self._due.items()):
            if due <= now:
                del self._due[name]
                self._services[name] = self._begin_service(name)
        with self._lock:
            self._figures.begun = self._events.count("start")
        if now - self._shown_at > 10:
            self._shown_at = now
            self._figures.seconds = now - self._begun_at
            self._show(f"  {self._figures}")

    def _thaw(self, now: float) -> None:
        for name, (until, killed) in list(self._frozen.items()):
            if until > now:
                continue
            del self._frozen[name]
            if not killed:
                self._services[name].popen.send_signal(signal.SIGCONT)
                continue
            self._services.pop(name).kill()
            self._figures.service_kills += 1
            self._due[name] = now

    def _begin_service(self, name: str) -> Process:
        if name == studies.RULE:
            listen = f"unix:{self._world.sockets}/e-{name}"
            return self._world.start("katib-earlystopping", name, "--listen", listen, name=f"earlystopping-{name}")
        listen = f"unix:{self._world.sockets}/s-{name}"
        if name != forgetful.ALGORITHM:
            return self._world.start("katib-suggestion", name, "--listen", listen, name=f"suggestion-{name}")
        # What it does with a study that it does not know is another thing each time.
        unknown = self._rng.choice(("crash", "error"))
        return self._world.start(
            str(BIN / "python"),
            forgetful.__file__,
            "--listen",
            listen,
            "--unknown",
            unknown,
            name="suggestion-forgetful",
        )

    # Using

    def _use(self, kind: studies.Make) -> None:
        """One study of the kind after the other, until the campaign has enough."""
        rng = random.Random(f"{self._order.seed}/{kind.__name__}")
        with self._world.client() as client:
            user = User(client, rng, self._events, self._calm.is_set, lambda: time.monotonic() > self._end_by)
            number = 0
            while number == 0 or not self._calm.is_set():
                number += 1
                asked = studies.invent(kind, number, self._order.share, self._order.seed, rng)
                with self._lock:
                    self._asked.append(asked)
                    self._figures.studies += 1
                try:
                    user.live(asked)
                except Exception as error:  # noqa: BLE001 - it is what the campaign looks for
                    self._blame(
                        f"the user of {asked.spec.name} ({asked.study_id}): {error!r}\n{traceback.format_exc()}"
                    )
                    return
                # The kills are to fall among few trials rather than many: a machine has only so much to give.
                self._calm.wait(rng.uniform(0.0, 2.0) * self._order.share)

    def _blame(self, wrong: str) -> None:
        with self._lock:
            self._wrong.append(wrong)

    # The end

    def _come_to_an_end(self) -> None:
        """Nothing is killed any more: everything must end by itself, and be right."""
        self._end_by = time.monotonic() + END_S
        self._await_ready()
        while any(user.is_alive() for user in self._users):
            self._pause(_TICK_S)
        self._await_models()
        self._wrong += [f"process {p} is left though every study has ended" for p in self._processes(trials_only=True)]
        assert self._manager is not None
        code = self._manager.end()
        if code != 0:
            self._blame(f"the manager ended with code {code}: {self._manager.output[-2000:]}")
        self._thaw(float("inf"))
        for service in self._services.values():
            service.end()
        self._wrong += [f"process {p} is left after the end" for p in self._processes()]
        self._wrong += self._logged()
        self._figures.forgotten = sum(p.output.count(forgetful.STUMBLED) for p in self._world.processes)
        if not self._wrong:
            # What a study that is stuck looks like is said already.
            self._check()

    def _await_models(self) -> None:
        """They come after their trials, and what was missed at the next look."""
        storage = open_storage(self._order.database)
        try:
            store = open_model_store(storage)
            waiting = {asked.study_id for asked in self._asked if asked.fate != DELETE}
            while waiting and time.monotonic() < self._end_by:
                waiting = {study_id for study_id in waiting if not checks.has_models(storage, store, study_id)}
                self._pause(0.5)
        finally:
            storage.close()

    def _check(self) -> None:
        self._wrong += checks.left_behind(self._order.database)
        storage = open_storage(self._order.database)
        try:
            found, strange = checks.gather(storage, self._world.folder / "data", self._notes, self._asked)
        finally:
            storage.close()
        self._wrong += strange
        for one in found:
            self._wrong += checks.check(one)
            self._figures.trials += len(one.trials)
            self._figures.attempts += sum(t.attempt for t in one.trials)
            self._figures.observations += sum(map(len, one.observations.values()))

    def _processes(self, *, trials_only: bool = False) -> list[str]:
        """What runs with this campaign's environment, by its number and command."""
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                ours = environment.get(_VARIABLE) == str(self._notes)
                if ours and (not trials_only or "TRIAL_ID" in environment):
                    found.append(f"{process.pid} {' '.join(process.cmdline())[:300]}")
            except psutil.Error:
                pass
        return found

    def _logged(self) -> list[str]:
        """Defects that a program has noticed by itself."""
        return [
            f"{process.log}: {process.output[process.output.index('Traceback') :][:2000]}"
            for process in self._world.processes
            if "Traceback" in process.output
        ]


def data_folder(world: World) -> Path:
    """Where a campaign's manager keeps its runs, and its database if that is a file."""
    return world.folder / "data"


def new_seed() -> int:
    return random.SystemRandom().randrange(1_000_000)


def say(text: str) -> None:
    """Progress, at once."""
    print(text, file=sys.stderr, flush=True)
