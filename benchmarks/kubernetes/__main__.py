"""What Katib adds to creating Pods by hand, and what it costs: `python -m benchmarks.kubernetes --quick`.

docs/performance.md has what it showed at full size.

A real API server, etcd, scheduler and controller manager, and nodes that run nothing (fakenodes/main.go), so that two cores are
enough for hundreds of Pods at once. The manager is outside of the cluster, with the rights that deploy/ gives it, and what it
asks for is counted by the API server's own audit log.

1. A study of 2,000 trials, 200 at once, each of which prints three metrics; before and after it a bare loop that creates the
   same Pods with the same parallelism and does nothing else.
2. A study of 1,000 trials that go on: what the manager takes for them.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kubernetes.bare import BareLoop
from benchmarks.kubernetes.fakenodes import LABEL, FakeNodes, Life, fake_nodes
from katib.domain.errors import KatibError
from katib.domain.pod import PodSettings, Toleration
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Limits, Objective, StudySpec
from katib.domain.trial import Trial, TrialState
from tests.cluster.audit import Request, requests
from tests.cluster.cluster import Cluster
from tests.cluster.outside import Katib
from tests.e2e.harness import trials, until, world

LINES = 3
STUDY_S = 900.0
# Finished Pods go when no late manager can start them any more: ten leases.
LEASE_S = 2.0


@dataclass(frozen=True)
class Rates:
    """Pods created a second: the first ones, all at once; and those that follow, one when one has ended."""

    first: float
    following: float


@dataclass(frozen=True)
class Finished:
    """A study that has ended, and when it was told by WatchStudy that each of its trials had."""

    trials: Sequence[Trial]
    seen: Mapping[str, float]
    seconds: float
    cpu_s: float
    memory_mib: float


class Bench:
    def __init__(self, cluster: Cluster, katib: Katib, parallel: int, seconds: float) -> None:
        self.cluster, self.katib = cluster, katib
        self.parallel, self.seconds = parallel, seconds

    def spec(self, name: str, count: int, parallel: int, *command: str) -> StudySpec:
        return StudySpec(
            name=name,
            objective_name="x",
            optimization=Objective.MAXIMIZE,
            parameters=(ParameterConfig("x", ParameterType.DOUBLE, FeasibleSpace("0", "1")),),
            algorithm="random",
            command=("fake", *command),
            image="katib.test/fake:1",
            pod=PodSettings(
                node_selector={LABEL: "true"},
                tolerations=(Toleration(key=LABEL, operator="Exists"),),
                requests={"cpu": "100m", "memory": "64Mi"},
            ),
            limits=Limits(max_trials=count, max_parallel=parallel),
        )

    def bare(self, count: int) -> Rates:
        spec = self.spec("bare", count, self.parallel, f"{self.seconds:g}", str(LINES))
        names = BareLoop(self.katib.kubeconfig, self.katib.namespace, spec).run(count, self.parallel)
        path = f"/api/v1/namespaces/{self.katib.namespace}/pods?labelSelector=katib.test/bare%3Dtrue"
        self.katib.kubectl("delete", "--raw", path)
        return self.rates(set(names))

    def study(self, count: int) -> Finished:
        assert self.katib.manager is not None
        pid = self.katib.manager.popen.pid
        begin, cpu = time.monotonic(), cpu_seconds(pid)
        seen: dict[str, float] = {}
        with self.katib.world.client() as client:
            study_id = client.create_study(self.spec("many", count, self.parallel, f"{self.seconds:g}", str(LINES)))
            follower = threading.Thread(target=self._follow, args=(study_id, seen), daemon=True)
            follower.start()
            until(lambda: client.get_study(study_id).summary.state.finished, STUDY_S, poll=0.5)
            seconds, spent, memory = time.monotonic() - begin, cpu_seconds(pid) - cpu, memory_mib(pid)
            follower.join(30)
            found = trials(client, study_id)
        bad = [t for t in found if t.state is not TrialState.COMPLETED or t.attempt != 1]
        wrong = [t for t in found if t.objective != float(t.parameters[0].value)]
        if len(found) != count or bad or wrong:
            raise RuntimeError(f"{len(found)} trials, of which {len(bad)} did not end well, and {len(wrong)} wrong")
        return Finished(found, seen, seconds, spent, memory)

    def _follow(self, study_id: str, seen: dict[str, float]) -> None:
        revision = 0
        while True:
            try:
                with self.katib.world.client() as client:
                    for event in client.watch_study(study_id, revision):
                        now = time.time()
                        revision = event.revision
                        for trial in event.trials:
                            if trial.state.finished:
                                seen.setdefault(trial.id, now)
                        if event.study.state.finished:
                            return
            except KatibError:
                time.sleep(0.1)

    def live(self, count: int, watch_s: float) -> dict[str, float]:
        """What Pods that go on take of the manager, above what it takes without them."""
        assert self.katib.manager is not None
        pid = self.katib.manager.popen.pid
        memory, cpu, begin = memory_mib(pid), cpu_seconds(pid), time.monotonic()
        with self.katib.world.client() as client:
            study_id = client.create_study(self.spec("live", count, count, "forever"))
            until(lambda: client.get_study(study_id).summary.running == count, STUDY_S, poll=0.5)
            # Each log is read at least once, though only so many are followed at once.
            until(lambda: all(t.objective is not None for t in trials(client, study_id)), STUDY_S, poll=2)
            starting = time.monotonic() - begin, cpu_seconds(pid) - cpu
            begin, cpu = time.monotonic(), cpu_seconds(pid)
            time.sleep(watch_s)
            share = (cpu_seconds(pid) - cpu) / (time.monotonic() - begin)
            more = memory_mib(pid) - memory
            begin, cpu = time.monotonic(), cpu_seconds(pid)
            client.stop_study(study_id)
            until(lambda: client.get_study(study_id).summary.state.finished, STUDY_S, poll=0.5)
            stopping = time.monotonic() - begin, cpu_seconds(pid) - cpu
        return {
            "start_s": starting[0],
            "start_cpu_s": starting[1],
            "percent": 100 * share,
            "mib": more,
            "stop_s": stopping[0],
            "stop_cpu_s": stopping[1],
        }

    def asked(self) -> list[Request]:
        return [one for one in requests(self.cluster.audit, self.katib.user) if not one.streaming]

    def rates(self, names: set[str]) -> Rates:
        made = sorted(
            one.answered_at.timestamp()
            for one in self.asked()
            if (one.verb, one.resource, one.code) == ("create", "pods", 201) and one.name in names
        )
        assert len(made) == len(names)
        return Rates(_rate(made[: self.parallel]), _rate(made[self.parallel :]))


def _rate(moments: Sequence[float]) -> float:
    return (len(moments) - 1) / (moments[-1] - moments[0])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def spent(cluster: Cluster, nodes: FakeNodes) -> dict[str, float]:
    parts = (cluster.apiserver, cluster.etcd, cluster.scheduler, cluster.controller_manager)
    return {part.name: cpu_seconds(part.pid) for part in parts} | {"nodes": cpu_seconds(nodes.process.pid)}


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few trials: to see that it runs, not to quote")
    parser.add_argument("--trials", type=int, default=2000, help="of the first part; 0: none (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=200)
    parser.add_argument("--live", type=int, default=1000, help="Pods of the second part; 0: none (default: 1000)")
    parser.add_argument("--seconds", type=float, default=5, help="how long a trial takes (default: %(default)s)")
    options = parser.parse_args()
    if options.quick:
        options.trials, options.parallel, options.live, options.seconds = 60, 20, 50, 1
    if 0 < options.trials // 2 < options.parallel + 2:
        parser.error(
            f"--trials must be at least {2 * options.parallel + 4}: the bare loop makes half as many, and some that follow"
        )
    cluster = Cluster()
    cluster.start()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="katib-bench-") as name,
            cluster.namespace() as namespace,
            world(Path(name)) as it,
        ):
            measure(cluster, Katib(it, cluster, namespace), options)
    finally:
        cluster.stop()


def measure(cluster: Cluster, katib: Katib, options: argparse.Namespace) -> None:
    bench = Bench(cluster, katib, options.parallel, options.seconds)
    katib.grant()
    katib.world.suggestion("random")
    katib.start("keep=none", lease=LEASE_S)
    # Each fits 110, as a node does; half of them stay empty.
    with fake_nodes(cluster, katib.world.folder, 2 * max(options.parallel, options.live) // 110 + 1) as nodes:
        if options.trials:
            measure_creation(bench, nodes, options.trials)
        if options.live:
            live = bench.live(options.live, 30 if options.live >= 1000 else 5)
            print(
                f"{options.live} Pods that go on: {live['percent']:.1f} % of a core, {live['mib']:.0f} MiB more; to start "
                f"them {live['start_s']:.0f} s ({live['start_cpu_s']:.1f} s of a core), to stop them "
                f"{live['stop_s']:.0f} s ({live['stop_cpu_s']:.1f} s of a core)"
            )


def measure_creation(bench: Bench, nodes: FakeNodes, count: int) -> None:
    peers = [bench.bare(count // 2)]
    before = spent(bench.cluster, nodes)
    done = bench.study(count)
    others = {name: seconds - before[name] for name, seconds in spent(bench.cluster, nodes).items()}
    gone_s = _gone(bench.katib)
    asked = bench.asked()
    peers.append(bench.bare(count // 2))
    show(bench, count, done, nodes.lives(), asked, peers, others)
    print(f"The last Pod was deleted {gone_s:.0f} s after the end", flush=True)


def show(
    bench: Bench,
    count: int,
    done: Finished,
    lives: Mapping[str, Life],
    asked: Sequence[Request],
    peers: Sequence[Rates],
    others: Mapping[str, float],
) -> None:
    runs = {trial.run for trial in done.trials}
    ours = bench.rates(runs)
    print(f"\n{count} trials of {bench.seconds:g} s, {bench.parallel} at once, took {done.seconds:.0f} s")
    print("Pods created a second, beside the bare loop before and after (aim: 0.8):")
    for what in ("first", "following"):
        rate, bare = getattr(ours, what), [getattr(peer, what) for peer in peers]
        print(f"  {what}: {rate:.0f} beside {bare[0]:.0f} and {bare[1]:.0f}, ratio {rate / statistics.mean(bare):.2f}")
    mine = [one for one in asked if one.name in runs or one.verb in ("list", "watch")]
    kinds = Counter((one.verb, one.resource) for one in mine if one.verb != "watch")
    told = ", ".join(f"{verb} {resource} {number / count:.3f}" for (verb, resource), number in sorted(kinds.items()))
    print(f"Requests to the API server for a trial (aim: 4): {kinds.total() / count:.2f} ({told})")
    late = [done.seen[trial.id] - lives[trial.run].ended for trial in done.trials]
    print(
        "Seconds from a Pod's end to its trial's end, as a client is told (aim: p99 under 1): "
        f"median {statistics.median(late):.2f}, p99 {percentile(late, 0.99):.2f}, most {max(late):.2f}"
    )
    told = ", ".join(f"{name} {1000 * seconds / count:.1f} s" for name, seconds in others.items())
    print(
        f"The manager, for 1,000 trials: {1000 * done.cpu_s / count:.1f} s of a core; {done.memory_mib:.0f} MiB in all "
        f"at the end (others: {told})"
    )


def _gone(katib: Katib) -> float:
    """Seconds until no Pod of the study is left."""
    begin = time.monotonic()
    mine = ("get", "pods", "-l", "app.kubernetes.io/managed-by=katib", "--no-headers", "-o", "name", "--chunk-size=0")
    until(lambda: not katib.kubectl(*mine).strip(), STUDY_S, poll=1)
    return time.monotonic() - begin


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error}\n{error.stderr or ''}") from error
