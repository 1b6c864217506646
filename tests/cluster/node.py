"""A node of the cluster: containerd and a kubelet."""

import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.cluster import guardian, images, programs
from tests.cluster.certificates import Authority
from tests.cluster.processes import Process, wait_until

_IMPORT_S = 300
_IMPORT = ("--namespace=k8s.io", "images", "import")


@dataclass(frozen=True)
class Place:
    """Where a node is to be."""

    name: str
    address: str
    pods: str
    """The addresses of its Pods, as a prefix."""
    dns: str
    server: str
    """The API server's address."""
    state: Path
    """The cluster's folder."""


class Node:
    """One more of them costs some 100 MB and a second."""

    def __init__(
        self, place: Place, authority: Authority, start: Callable[[str, Sequence[str | Path]], Process]
    ) -> None:
        """`start` makes a process of a name and a command."""
        self.name = place.name
        self.address = place.address
        self._place = place
        self._folder = place.state / f"{place.name}-{uuid.uuid4().hex[:8]}"  # each time a new machine
        self._folder.mkdir()
        # A socket's path has at most 107 bytes.
        self._run = Path("/run") / self._folder.name
        self._socket = self._run / "containerd.sock"
        self._cgroup = f"{place.state.name}/{self._folder.name}"
        guardian.make_cgroups(self._cgroup)
        self._write_containerd()
        self._write_kubelet(authority)
        kubeconfig = authority.kubeconfig(place.server, f"system:node:{place.name}", "system:nodes")
        self.containerd = start(
            f"containerd-{place.name}", ["containerd", "--config", self._folder / "containerd.toml"]
        )
        self.kubelet = start(
            f"kubelet-{place.name}",
            [
                programs.folder() / "kubelet",
                f"--config={self._folder / 'kubelet.json'}",
                f"--kubeconfig={kubeconfig}",
                f"--root-dir={self._folder / 'kubelet'}",
                f"--cert-dir={self._folder / 'pki'}",
                f"--hostname-override={place.name}",
                f"--node-ip={place.address}",
                "--v=2",
            ],
        )
        self._enter = ["nsenter", f"--target={self.containerd.namespaces}", "--mount", "--net", "--pid", "--"]

    def start_containerd(self) -> None:
        """Starts it unless it runs, and gives it the image that every Pod needs."""
        if not self.containerd.alive:
            self.containerd.start()
        wait_until("containerd answers", lambda: self._ctr("version"))
        self.import_image(images.pause())

    def import_image(self, archive: Path) -> None:
        """Makes the image in an archive known here."""
        self._ctr(*_IMPORT, str(archive))

    def loading(self, archive: str) -> list[str]:
        """The command that does it from outside."""
        return self._in_here(*_IMPORT, archive)

    def image_names(self) -> set[str]:
        """The images that it knows."""
        return set(self._ctr("--namespace=k8s.io", "images", "list", "--quiet").split())

    def lose_power(self) -> None:
        """Ends all that the node runs, its containers among it, and tells nobody; `boot` brings it back."""
        self.kubelet.kill()
        self.containerd.kill()
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def boot(self) -> None:
        """Starts what `lose_power` has ended, or what was stopped."""
        self.start_containerd()
        if not self.kubelet.alive:
            self.kubelet.start()

    def _processes(self) -> list[psutil.Process]:
        """Containers and their shims."""
        shims = [
            process
            for process in psutil.process_iter(["cmdline"])
            if "containerd-shim-runc-v2" in " ".join((process.info["cmdline"] or [])[:1])
            and str(self._socket) in process.info["cmdline"]
        ]
        return [*shims, *(child for shim in shims for child in shim.children(recursive=True))]

    def _ctr(self, *arguments: str) -> str:
        done = subprocess.run(self._in_here(*arguments), capture_output=True, text=True, timeout=_IMPORT_S, check=False)
        if done.returncode != 0:
            raise OSError(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _in_here(self, *arguments: str) -> list[str]:
        return [*self._enter, "ctr", f"--address={self._socket}", *arguments]

    def _write_containerd(self) -> None:
        network = self._folder / "network"
        network.mkdir()
        conf = {
            "cniVersion": "0.4.0",
            "name": self._folder.name,
            # Each Pod has a wire of its own to the node and everything is routed, so Services need no help from a bridge.
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self._folder / "addresses"),
                        "ranges": [[{"subnet": self._place.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        (network / "10-pods.conflist").write_text(json.dumps(conf))
        (self._folder / "containerd.toml").write_text(
            f"""
            version = 2
            root = "{self._folder}/containerd"
            state = "{self._run}"
            disabled_plugins = [
                "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
                "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
                "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
            ]
            [grpc]
                address = "{self._socket}"
            [plugins."io.containerd.grpc.v1.cri"]
                # Where CAP_SYS_RESOURCE is missing, nobody may lower this value.
                restrict_oom_score_adj = true
                sandbox_image = "{images.PAUSE}"
                [plugins."io.containerd.grpc.v1.cri".cni]
                    bin_dir = "{programs.cni_folder()}"
                    conf_dir = "{network}"
            """
        )

    def _write_kubelet(self, authority: Authority) -> None:
        resolver = self._folder / "resolv.conf"
        resolver.write_text("")  # names outside the cluster are nobody's
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [self._place.dns],
            "clusterDomain": "cluster.local",
            "resolvConf": str(resolver),
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "podLogsDir": f"/var/log/{self._folder.name}",
            "volumePluginDir": str(self._folder / "volume-plugins"),
            "healthzPort": 0,
            # The machine's disk is not the cluster's to judge.
            "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"},
            "imageGCHighThresholdPercent": 100,
            "nodeLeaseDurationSeconds": 20,
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
        }
        (self._folder / "kubelet.json").write_text(json.dumps(config, indent=2))
