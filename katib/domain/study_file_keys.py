"""The keys of a study file: which there are, how they may be spelled, and what is told about those there are not.

A key is known by its letters alone: `optimization_type`, `optimizationType` and Katib 0.1's `optimizationtype` are one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

AUTO_STOP: Final = "auto_stop_algorithm"

_OF_0_1: Final = (
    "name",
    "owner",
    "optimization_type",
    "optimization_goal",
    "parameter_configs",
    "access_permissions",
    "suggest_algorithm",
    "early_stopping_algorithm",
    "study_task_name",
    "suggestion_parameters",
    "early_stopping_parameters",
    "tags",
    "objective_value_name",
    "metrics",
    "image",
    "command",
    "gpu",
    "scheduler",
    "mount",
    "pull_secret",
)
LIMITS: Final = ("max_trials", "max_parallel", "max_failed_trials", "retry_limit", "trial_timeout", "max_duration")
_SINCE: Final = (*LIMITS, "working_dir", "objective_strategy", "pod", "metrics_collector", "keep_models")
_SHORT: Final = ("objective", "algorithm", "early_stopping", "parameters")


def fold(key: str) -> str:
    return key.replace("_", "").lower()


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that one mapping may have. `old`: those whose lower-cased spelling only Katib 0.1 had."""

    names: Mapping[str, str]
    old: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str], old: Iterable[str] = (), elsewhere: Mapping[str, str] | None = None) -> "KeySet":
        """`elsewhere`: by what is said here, the keys by which other tools say it, with spaces between."""
        theirs = {fold(key): ours for ours, keys in (elsewhere or {}).items() for key in keys.split()}
        return cls({fold(name): name for name in names}, frozenset(fold(name) for name in old if "_" in name), theirs)

    def find(self, key: str) -> str | None:
        """The key's own name, in snake_case."""
        return self.names.get(fold(key))

    def here(self, key: str) -> str | None:
        """What is said here in place of another tool's key."""
        return self.elsewhere.get(fold(key))

    def is_old_spelling(self, key: str) -> bool:
        return key in self.old

    def nearest(self, key: str, *, old: bool) -> str | None:
        """The known key that is most like this one, in the spelling of the file."""
        import difflib  # only where something is wrong

        found = difflib.get_close_matches(fold(key), self.names, n=1, cutoff=0.6)
        return (found[0] if old else self.names[found[0]]) if found else None


# How Optuna, Ray Tune, Hyperopt, Weights & Biases and Katib on Kubernetes say the same.
_RANGES_ELSEWHERE: Final = {
    "min": "low lower lower_bound minimum",
    "max": "high upper upper_bound maximum",
    "min and max": "bounds range",
    "step": "q quantization increment",
    "scale: log": "log log_scale log_uniform is_log",
}
_LISTS_ELSEWHERE: Final = "choices categories options"
_STUDY_ELSEWHERE: Final = {
    "objective.type": "direction mode",
    "objective.name": "metric_name objective_metric_name",
    "objective.name or metrics": "metric",
    "objective.goal": "goal target",
    "algorithm": "sampler searcher search_alg method tuner",
    "early_stopping": "pruner early_terminate",
    "parameters": "search_space space params config",
    "max_trials": "n_trials num_trials trials num_samples max_evals max_trial_count",
    "max_parallel": "n_jobs parallel_trial_count max_concurrent_trials concurrency",
    "max_failed_trials": "max_failed_trial_count",
    "trial_timeout or max_duration": "timeout",
    "command": "program script entrypoint",
    "metrics_collector": "metrics_collector_spec",
}
_OBJECTIVE_ELSEWHERE: Final = {
    "type": "direction mode",
    "name": "metric metric_name objective_metric_name",
    "goal": "target",
    "metrics, beside objective": "additional_metric_names",
}
_ALGORITHM_ELSEWHERE: Final = {"name": "algorithm_name", "settings": "algorithm_settings"}

# `autostopalgorithm` stands in the examples of Katib 0.1, which did not know it.
STUDY: Final = KeySet.of((*_OF_0_1, *_SINCE, *_SHORT, AUTO_STOP), (*_OF_0_1, AUTO_STOP), _STUDY_ELSEWHERE)
OBJECTIVE: Final = KeySet.of(("name", "type", "goal", "strategy"), elsewhere=_OBJECTIVE_ELSEWHERE)
ALGORITHM: Final = KeySet.of(("name", "settings"), elsewhere=_ALGORITHM_ELSEWHERE)
PARAMETER_CONFIGS: Final = KeySet.of(("configs",))
PARAMETER: Final = KeySet.of(
    ("name", "type", "parameter_type", "feasible", "min", "max", "list", "values", "step", "scale"),
    ("parameter_type",),
    {
        **_RANGES_ELSEWHERE,
        "values": _LISTS_ELSEWHERE,
        "type and scale": "distribution",
        "min, max, step or list": "feasible_space",
    },
)
FEASIBLE: Final = KeySet.of(
    ("min", "max", "list", "step", "scale"), elsewhere={**_RANGES_ELSEWHERE, "list": _LISTS_ELSEWHERE}
)
NAME_VALUE: Final = KeySet.of(("name", "value"))
COLLECTOR: Final = KeySet.of(("source", "path", "reader", "format", "pattern", "step"))
MOUNT: Final = KeySet.of(("pvc", "path"))
POD: Final = KeySet.of(
    (
        "namespace",
        "labels",
        "annotations",
        "environment",
        "requests",
        "limits",
        "node_selector",
        "tolerations",
        "service_account",
        "start_timeout",
        "template",
    )
)
TOLERATION: Final = KeySet.of(("key", "operator", "value", "effect", "toleration_seconds"))

SEVERAL_OBJECTIVES: Final = (
    "several objectives are not supported yet: name the one to optimize, the others under metrics"
)
_CONDITIONAL: Final = "conditional parameters are not supported yet: give each parameter a range that always holds"
_KUBERNETES: Final = (
    "a study file is no Kubernetes object, and trials as TFJob, PyTorchJob or other resources are not supported yet: "
    "write the study's own keys, with image and command for its trials, or a Pod of theirs as pod.template"
)
_NAS: Final = "neural architecture search is not supported yet: write the search space as parameters"
_NOT_YET: Final[Mapping[str, str]] = (
    dict.fromkeys(("objectives", "metricsgoals"), SEVERAL_OBJECTIVES)
    | dict.fromkeys(
        ("condition", "conditions", "conditional", "dependson", "parent", "parents", "children", "when"), _CONDITIONAL
    )
    | dict.fromkeys(
        (
            "apiversion",
            "kind",
            "metadata",
            "spec",
            "trialtemplate",
            "trialspec",
            "workerspec",
            "jobtemplate",
            "podtemplate",
            "tfjob",
            "pytorchjob",
            "mpijob",
            "replicaspecs",
        ),
        _KUBERNETES,
    )
    | dict.fromkeys(("nasconfig", "graphconfig", "operations"), _NAS)
)


def not_yet(key: str) -> str | None:
    """The sentence for a key that Katib may know one day."""
    return _NOT_YET.get(fold(key))
