"""Three managers on one database: any of them is killed, frozen past its lease, or cut off from the database, and nothing is
lost and nothing is run twice. Clients that know several addresses go on."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from katib.api.client import ManagerClient
from katib.cli.patience import Patience
from katib.cli.watch import events
from katib.domain.study import Limits, StudyState
from katib.domain.trial import TrialState
from katib.manager.ports import StudyFilter
from tests.api.failover import Line
from tests.e2e.harness import BIN, World, finished, study, trials, until
from tests.faults.fleet import LEASE_S, LONG_S, Fleet, Member, fleet, spec
from tests.ports import free_port
from tests.storage import servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDIES, TRIALS = 10, 8
# Enough for every blow to meet studies under way.
MANY_TRIALS = 24
# Two leases are promised, and a second is for the operating system to let three processes run. The lease is long enough for the
# looks at the end of it (three of a second each, at worst) to fit in the second one on a loaded machine.
TAKEOVER_LEASE_S = 6.0
TAKEOVER_S = 2 * TAKEOVER_LEASE_S + 1.0


@pytest.fixture
def three(katib: World, server: servers.Server) -> Iterator[Fleet]:
    katib.suggestion("random")
    katib.environment["PAUSE"] = "2"
    with fleet(katib, server.create_database("katib_test")) as it:
        yield it


@pytest.fixture
def three_to_take_over(katib: World, server: servers.Server) -> Iterator[Fleet]:
    katib.suggestion("random")
    # Studies that are not over before they have moved.
    katib.environment["PAUSE"] = "4"
    with fleet(katib, server.create_database("katib_test"), lease=TAKEOVER_LEASE_S) as it:
        yield it


@pytest.fixture
def three_on_sqlite(katib: World) -> Iterator[Fleet]:
    katib.suggestion("random")
    katib.environment["PAUSE"] = "2"
    (katib.folder / "data").mkdir()
    with fleet(katib, f"sqlite:///{katib.folder}/data/katib.db") as it:
        yield it


def begun(it: Fleet) -> list[str]:
    """The studies, of which each manager drives some, and some trials have run."""
    made = it.create(STUDIES, TRIALS)
    until(lambda: len(list(it.count.iterdir())) >= STUDIES, LONG_S)
    return made


def moved(it: Fleet, id_: str, since: float, name: str) -> float:
    """How long it takes until others drive what this manager drove."""
    assert id_
    others = {it.id_of(member) for member in it.members} - {id_, ""}
    until(lambda: it.drivers() <= others, LONG_S, poll=0.02)
    took = time.monotonic() - since
    print(f"{name}: its studies moved after {took:.2f} s; now {it.driven()}")
    return took


def test_the_studies_of_a_manager_that_is_killed_go_on_at_the_others(three_to_take_over: Fleet) -> None:
    made = begun(three_to_take_over)
    victim = three_to_take_over.members[0]
    id_ = three_to_take_over.id_of(victim)
    assert id_ in three_to_take_over.drivers()
    victim.process.kill()
    took = moved(three_to_take_over, id_, time.monotonic(), "killed")
    # On one host it is seen that the process has ended.
    assert took < TAKEOVER_S
    three_to_take_over.assert_whole(made, TRIALS)


def test_the_studies_of_a_manager_that_is_frozen_past_its_lease_go_on_and_it_does_no_harm_when_it_wakes(
    three_to_take_over: Fleet,
) -> None:
    made = begun(three_to_take_over)
    victim = three_to_take_over.members[1]
    id_ = three_to_take_over.id_of(victim)
    victim.pause()
    took = moved(three_to_take_over, id_, time.monotonic(), "frozen")
    assert TAKEOVER_LEASE_S * 0.4 < took < TAKEOVER_S
    time.sleep(TAKEOVER_LEASE_S / 2)
    victim.go_on()
    three_to_take_over.assert_whole(made, TRIALS)
    assert victim.process.end() == 0


@pytest.mark.parametrize("silently", [False, True], ids=["broken connections", "silence"])
def test_the_studies_of_a_manager_that_is_cut_off_from_the_database_go_on(
    three_to_take_over: Fleet, silently: bool
) -> None:
    made = begun(three_to_take_over)
    victim = three_to_take_over.members[2]
    id_ = three_to_take_over.id_of(victim)
    victim.cut_off(silently=silently)
    took = moved(three_to_take_over, id_, time.monotonic(), "cut off")
    assert TAKEOVER_LEASE_S * 0.4 < took < TAKEOVER_S
    time.sleep(TAKEOVER_LEASE_S / 2)
    victim.let_back()
    three_to_take_over.assert_whole(made, TRIALS)
    assert victim.process.end() == 0


def test_a_manager_that_is_told_to_end_hands_its_studies_over_at_once(katib: World, server: servers.Server) -> None:
    katib.suggestion("random")
    # No lease runs out here.
    with fleet(katib, server.create_database("katib_test"), lease=60) as it:
        made = begun(it)
        victim = it.members[0]
        id_ = it.id_of(victim)
        victim.process.popen.send_signal(signal.SIGTERM)
        took = moved(it, id_, time.monotonic(), "told to end")
        assert took < 10
        assert victim.process.end() == 0
        it.assert_whole(made, TRIALS)


def blow(it: Fleet, rng: random.Random, member: Member, kinds: list[str]) -> str:
    """One fault of one manager, and its end."""
    kind = rng.choice(kinds)
    seconds = rng.uniform(0.2, 2.5) * LEASE_S
    if kind in ("kill", "term"):
        member.process.end(signal.SIGKILL if kind == "kill" else signal.SIGTERM, LONG_S)
        time.sleep(seconds)
        it.restart(member)
    elif kind == "pause":
        member.pause()
        time.sleep(seconds)
        member.go_on()
    else:
        member.cut_off(silently=kind == "silence")
        time.sleep(seconds)
        member.let_back()
    return f"{kind} {member.name} {seconds:.1f} s"


def shake(it: Fleet, rounds: int, kinds: list[str], *, together: int = 2) -> None:
    """Blows at random, up to so many managers at the same time."""
    seed = int(os.environ.get("KATIB_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KATIB_TEST_SEED={seed}")
    rng = random.Random(seed)
    made = it.create(STUDIES, MANY_TRIALS)
    for i in range(rounds):
        # There is always something to lose. Any manager takes it; whoever does not answer is passed over.
        with it.client() as client:
            made += [client.create_study(spec(f"later{i}-{j}", MANY_TRIALS)) for j in range(3)]
        print(f"round {i}: studies are driven by {it.driven()}")
        members = rng.sample(it.members, rng.randint(1, together))
        generators = [random.Random(rng.random()) for _ in members]
        failed: list[BaseException] = []

        def one(member: Member, generator: random.Random) -> None:
            try:
                print(blow(it, generator, member, kinds))
            except BaseException as error:  # noqa: BLE001 - it is the test's
                failed.append(error)  # noqa: B023 - joined below

        threads = [threading.Thread(target=one, args=pair) for pair in zip(members, generators, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed, failed
        time.sleep(rng.uniform(0, LEASE_S / 2))
    it.assert_whole(made, MANY_TRIALS)
    assert len(it.storage.list_studies(StudyFilter(), 100, "").items) == len(made)
    for member in it.members:
        assert member.process.popen.poll() is None, member.process.output[-4000:]
        assert "Traceback" not in member.process.output


def test_managers_that_are_killed_frozen_and_cut_off_at_random_lose_nothing_and_run_nothing_twice(
    three: Fleet,
) -> None:
    shake(three, 8, ["kill", "term", "pause", "pause", "cut", "silence"])


def test_managers_on_sqlite_that_are_killed_and_frozen_at_random_lose_nothing_and_run_nothing_twice(
    three_on_sqlite: Fleet,
) -> None:
    # One that is frozen while it holds the file's lock keeps the others waiting; so never two at a time.
    shake(three_on_sqlite, 6, ["kill", "term", "pause"], together=1)


def test_any_manager_serves_every_call_whoever_drives_the_study(three_on_sqlite: Fleet) -> None:
    it = three_on_sqlite
    driver, other = it.members[0], it.members[1]
    gate = it.count / "gate"
    script = f"echo here; while [ ! -e {gate} ]; do sleep 0.05; done; echo acc=1"
    figures: dict[str, float] = {}

    def measured(what: str, began: float) -> None:
        figures[what] = time.monotonic() - began

    with it.client(driver) as first, it.client(other) as second:
        study_id = first.create_study(study(script=script, limits={"max_trials": 6, "max_parallel": 2}))
        assert it.drivers() == {it.id_of(driver)}
        running = until(lambda: [t for t in trials(second, study_id) if t.state is TrialState.RUNNING])
        until(lambda: second.trial_log(running[0].id).data == b"here\n")
        began = time.monotonic()
        second.stop_trial(running[0].id)
        until(lambda: second.get_trial(running[0].id).trial.state is TrialState.KILLED, poll=0.02)
        measured("stop a trial", began)
        began = time.monotonic()
        second.update_study(study_id, Limits(max_parallel=4))
        until(lambda: second.get_study(study_id).summary.running == 4, poll=0.02)
        measured("raise a limit", began)
        second.update_study(study_id, paused=True)
        events = second.watch_study(study_id)
        assert next(events).study.state is StudyState.PAUSED
        began = time.monotonic()
        gate.touch()
        # Seen at the other one as the driver takes it in.
        for event in events:
            if event.study.completed == 4:
                break
        measured("watch", began)
        assert first.get_study(study_id).summary.running == 0
        began = time.monotonic()
        second.update_study(study_id, paused=False)
        finished(second, study_id)
        measured("resume", began)
        began = time.monotonic()
        second.delete_study(study_id)
        until(lambda: not it.storage.list_studies(StudyFilter(), 10, "").items, poll=0.02)
        measured("delete", began)
    print({what: f"{took:.2f} s" for what, took in figures.items()})
    # A look a second, half of it with this lease, and a pass.
    assert all(took < 10 for took in figures.values())


def test_watching_and_reading_go_on_while_one_manager_after_the_other_is_killed(
    three_on_sqlite: Fleet, katib: World
) -> None:
    it = three_on_sqlite
    with it.client() as client:
        study_id = client.create_study(spec("watched", 30, max_parallel=4))
    command = [str(BIN / "katib-cli"), "-s", it.addresses]
    watch = subprocess.Popen([*command, "watch", study_id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for member in it.members:
        time.sleep(1)
        member.process.kill()
        for words in (["list-trials", study_id], ["get-study", study_id], ["list-studies"]):
            done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stderr
        it.restart(member)
    said, errors = watch.communicate(timeout=LONG_S)
    print(errors)
    assert watch.returncode == 0, errors
    # Each trial's end is told once, whichever manager told it; but for those that had ended before the watching began.
    ends = sorted(int(line.partition("trial ")[2].split()[0]) for line in said.splitlines() if "): COMPLETED" in line)
    assert ends == list(range(ends[0], 31))
    assert ends[0] < 15
    it.assert_whole([study_id], 30)


class Muffled(Line):
    """Lets nothing come back from the moment at which a creation has gone to the manager."""

    def passes(self, data: bytes, forth: bool) -> bool:
        # Every creation of the client's bears a request id of this kind.
        if forth and b"once-" in data:
            self.silent.set()
        return forth or not self.silent.is_set()


def test_a_manager_killed_between_storing_and_answering_makes_no_second_study(katib: World, tmp_path: Path) -> None:
    katib.suggestion("random")
    port = free_port()
    first = katib.manager(address=f"localhost:{port}")
    line = Muffled(f"localhost:{port}")
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: once\nobjective: {name: acc, type: maximize}\nalgorithm: random\nmax_trials: 2\n"
        "parameters: [{name: x, type: double, min: 0, max: 1}]\ncommand: [sh, -c, 'echo acc=1']\n"
    )
    # Nobody is at the second address yet, so it is the first manager that gets the creation.
    servers = f"{line.address},{katib.address}"
    cli = subprocess.Popen(
        [BIN / "katib-cli", "-s", servers, "create-study", "-f", file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with ManagerClient(f"localhost:{port}") as client:
        until(lambda: client.list_studies().items)
    assert line.silent.is_set()
    assert cli.poll() is None
    second = katib.manager()
    first.kill()
    line.cut()
    said, _ = cli.communicate(timeout=60)
    assert cli.returncode == 0, said
    with katib.client() as client:
        (study_,) = client.list_studies().items
        assert said == f"Study {study_.id} is created.\n"
        assert finished(client, study_.id).completed == 2
    assert second.end() == 0


def test_clients_leave_a_manager_that_is_frozen(three: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every client begins with the first.
    monkeypatch.setattr("random.randrange", lambda _count: 0)
    figures: dict[str, float] = {}
    seen: list[int] = []

    def watch() -> None:
        with three.client() as watcher:
            seen.extend(event.study.completed for event in events(watcher, study_id, Patience(lambda _: None)))
        figures["until a stream that fell silent has told the end"] = time.monotonic() - frozen

    # A study of the second manager, which nothing keeps from its end.
    with three.client(three.members[1]) as client:
        study_id = client.create_study(spec("watched", 6))
    watching = threading.Thread(target=watch)
    with three.client() as client:
        client.get_study(study_id)
        watching.start()
        until(lambda: seen)
        three.members[0].pause()
        frozen = time.monotonic()
        for what in ("over a connection", "once it has gone on"):
            began = time.monotonic()
            client.update_study(study_id, Limits(max_parallel=3))
            figures[f"a call {what}"] = time.monotonic() - began
    with three.client() as client:
        began = time.monotonic()
        client.create_study(spec("new", 1))
        figures["a call over a new connection"] = time.monotonic() - began
    watching.join(LONG_S)
    assert not watching.is_alive()
    assert seen[-1] == 6, seen
    print({what: f"{took:.2f} s" for what, took in figures.items()})
    # Ten seconds until pings find that nobody answers, and a loaded machine's time; the calls' own time-out is sixty.
    assert all(took < 40 for took in figures.values())
    three.members[0].go_on()
