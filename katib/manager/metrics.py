"""What the manager tells Prometheus about itself."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from katib.domain.trial import TrialState

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One set of metrics in a registry of its own, so that a process may hold several managers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._rpcs = Histogram(
            "katib_rpc_seconds", "Time to answer a call.", ("method", "code"), registry=self.registry, buckets=_SECONDS
        )
        # Looking one up takes longer than counting with it. None is ever taken away.
        self._calls: dict[tuple[str, str], Histogram] = {}
        self._moves = Counter("katib_trial_moves", "Moves of trials.", ("to", "reason"), registry=self.registry)
        self._passes = Histogram(
            "katib_reconcile_seconds", "Time of one pass over one study.", registry=self.registry, buckets=_SECONDS
        )
        self._failures = Counter(
            "katib_reconcile_failures", "Passes that ended in an error and are tried again.", registry=self.registry
        )
        self.queue_length = Gauge(
            "katib_reconcile_queue_length", "Studies that wait for a pass.", registry=self.registry
        )
        self.driven_studies = Gauge(
            "katib_driven_studies", "Unfinished studies that this manager drives.", registry=self.registry
        )

    def rpc(self, method: str, code: str, seconds: float) -> None:
        key = method, code
        calls = self._calls.get(key)
        if calls is None:
            calls = self._calls[key] = self._rpcs.labels(method, code)
        calls.observe(seconds)

    def trial_moved(self, to: TrialState, reason: str) -> None:
        self._moves.labels(to.value, reason).inc()

    def passed(self, seconds: float) -> None:
        self._passes.observe(seconds)

    def failed(self) -> None:
        self._failures.inc()
