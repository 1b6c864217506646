"""Pods of studies, as the worker makes them."""

import json
import re
from dataclasses import replace
from typing import Any

from katib.domain.names import new_id, run_name
from katib.domain.pod import PodSettings
from katib.domain.search_space import FeasibleSpace, ParameterConfig, ParameterType
from katib.domain.study import Objective, StudySpec
from katib.worker.base import RunSpec
from katib.worker.kubernetes.pods import check_pod, make_pod, trial_container
from katib.worker.kubernetes.policy import Policy

POLICY = Policy(namespace="katib")
STUDY = StudySpec(
    name="s",
    objective_name="loss",
    optimization=Objective.MINIMIZE,
    parameters=(
        ParameterConfig("--lr", ParameterType.DOUBLE, FeasibleSpace("0", "1")),
        ParameterConfig("kind", ParameterType.CATEGORICAL, FeasibleSpace(list=("a", "b"))),
    ),
    algorithm="random",
    image="registry.example/train:1",
    command=("python", "train.py"),
)
ARGUMENTS = ("--lr=0.030", "kind=a")


def run_of(study: StudySpec = STUDY, arguments: tuple[str, ...] = ARGUMENTS, **changes: Any) -> RunSpec:
    trial_id = new_id()
    run = RunSpec(run_name(trial_id, 2), new_id(), trial_id, 2, study.command, arguments, study)
    return replace(run, **changes)


def pod_of(policy: Policy = POLICY, **changes: Any) -> dict[str, Any]:
    study = replace(STUDY, **changes)
    assert check_pod(study, policy) == []
    return make_pod(run_of(study), policy)


def container_of(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = (c for c in pod["spec"]["containers"] if c["name"] == trial_container(pod))
    return dict(found)


def variables_of(container: dict[str, Any]) -> dict[str, str]:
    names = [variable["name"] for variable in container["env"]]
    assert len(set(names)) == len(names)
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def template(spec: Any, **metadata: Any) -> PodSettings:
    return PodSettings(template=json.dumps({"metadata": metadata, "spec": spec}))


def as_kubernetes_expands(text: str, variables: dict[str, str]) -> str:
    """`$(NAME)` is the variable where there is one, `$$` a dollar; everything else stays."""

    def replaced(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^()]*)\)", replaced, text)
