"""What a test does with a cluster, ours or a given one."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.processes import ClusterError, HopelessError, wait_until

Object = dict[str, Any]

_COMMAND_S = 120


class Api:
    """Speaks to the API server as an administrator, by kubectl."""

    busybox: str
    """An image with a shell."""

    python: str
    """An image with Python 3.11."""

    scheduler_name = "default-scheduler"
    """A scheduler, another than the usual one where there is one."""

    def __init__(self, kubectl: str | Path, kubeconfig: Path, cache: Path) -> None:
        self.kubeconfig = kubeconfig
        """What clients need to speak to the API server; `KUBECONFIG` for any program."""
        self._kubectl = [str(kubectl), f"--cache-dir={cache}"]

    def kubectl(self, *arguments: str, data: str | None = None, timeout: float = _COMMAND_S) -> str:
        """Runs kubectl; returns what it printed.

        Raises:
            ClusterError: with what it complained of.
        """
        command = [*self._kubectl, *arguments]
        done = subprocess.run(
            command, input=data, capture_output=True, text=True, timeout=timeout, env=self.environment, check=False
        )
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts kubectl, for what does not end by itself; all that it prints is in `stdout`."""
        command = [*self._kubectl, *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment
        )

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client find the cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def get(self, kind: str, name: str = "", namespace: str = "default", *arguments: str) -> Object:
        """An object, or a list with `items` without a name."""
        named = [name] if name else []
        return dict(json.loads(self.kubectl("get", kind, *named, "-n", namespace, "-o", "json", *arguments)))

    def create(self, manifest: Mapping[str, object]) -> None:
        """Creates an object."""
        self.kubectl("create", "-f", "-", data=json.dumps(manifest))

    def run(
        self,
        name: str,
        namespace: str,
        *command: str,
        image: str | None = None,
        container: Mapping[str, object] | None = None,
        spec: Mapping[str, object] | None = None,
    ) -> None:
        """Creates a Pod of one container that runs once; `container` and `spec` add to what stands here."""
        main = {"name": "main", "image": image or self.busybox, "imagePullPolicy": "IfNotPresent", "command": command}
        rest = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **(spec or {})}
        self.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"containers": [{**main, **(container or {})}], **rest},
            }
        )

    def wait_for_phase(self, name: str, namespace: str, *phases: str, timeout: float = 90) -> Object:
        """Waits until a Pod is in one of `phases`; returns it."""
        pod: Object = {}

        def reached() -> bool:
            pod.update(self.get("pod", name, namespace))
            if pod["status"]["phase"] in phases:
                return True
            final = pod["status"]["phase"] in ("Succeeded", "Failed")
            raise (HopelessError if final else ClusterError)(
                f"{name} is {pod['status']['phase']}: {json.dumps(states(pod))}"
            )

        wait_until(f"Pod {name} {' or '.join(phases)}", reached, timeout=timeout)
        return pod

    def import_image(self, archive: Path) -> None:
        """Makes the image in a docker or OCI archive known to every node."""
        raise NotImplementedError

    @contextmanager
    def namespace(self) -> Iterator[str]:
        """A namespace of a test's own, in which Pods may be created; it is on its way out afterwards."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        try:
            # Pods are refused until their service account is there.
            wait_until(f"the service account of {name}", lambda: self.get("serviceaccount", "default", name))
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")


class GivenCluster(Api):
    """The cluster that `KATIB_TEST_KUBECONFIG` names.

    It pulls its images: `KATIB_TEST_BUSYBOX_IMAGE` and `KATIB_TEST_PYTHON_IMAGE` name others than those of Docker's registry.
    `KATIB_TEST_LOAD_IMAGE` is a command that makes an archive known to it, with `{}` for the archive, such as
    `kind load image-archive {}` or `minikube image load {}`.
    """

    def __init__(self, kubectl: str | Path, kubeconfig: Path, cache: Path) -> None:
        super().__init__(kubectl, kubeconfig, cache)
        self.busybox = os.environ.get("KATIB_TEST_BUSYBOX_IMAGE", "busybox:1.36")
        self.python = os.environ.get("KATIB_TEST_PYTHON_IMAGE", "python:3.11-slim")

    def import_image(self, archive: Path) -> None:
        """See `Api.import_image`."""
        given = os.environ.get("KATIB_TEST_LOAD_IMAGE")
        if not given:
            raise ClusterError(
                "set KATIB_TEST_LOAD_IMAGE to the command that loads an image, `kind load image-archive {}` say"
            )
        subprocess.run([word.format(archive) for word in given.split()], check=True, timeout=600)


def states(pod: Object) -> list[Object]:
    """What its containers wait for, since when they run, or how they ended."""
    statuses: Sequence[Object] = pod["status"].get("containerStatuses", [])
    return [status.get("state", {}) for status in statuses]
