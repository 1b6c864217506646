"""Each call is counted under its own method and code, in the registry of its own manager."""

from katib.manager.metrics import Metrics


def counted(metrics: Metrics, method: str, code: str) -> float | None:
    return metrics.registry.get_sample_value("katib_rpc_seconds_count", {"method": method, "code": code})


def test_calls_are_counted_by_method_and_code() -> None:
    metrics, others = Metrics(), Metrics()
    for method, code, times in (("/a", "OK", 3), ("/a", "NOT_FOUND", 2), ("/b", "OK", 1)):
        for _ in range(times):
            metrics.rpc(method, code, 0.002)
    others.rpc("/a", "OK", 0.002)
    assert counted(metrics, "/a", "OK") == 3
    assert counted(metrics, "/a", "NOT_FOUND") == 2
    assert counted(metrics, "/b", "OK") == 1
    assert counted(metrics, "/b", "NOT_FOUND") is None
    assert counted(others, "/a", "OK") == 1
