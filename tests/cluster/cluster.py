"""A real Kubernetes cluster of one node on this machine, or of two.

etcd, API server, controller manager, scheduler, DNS, kube-proxy, containerd and kubelet are processes in namespaces of their
own (see guardian.py), so that nothing of it touches the machine but one network interface, cgroups of the cluster's own name,
and a folder for the state. All of it is gone when the test run is, in whatever way that ends. Needs root, Linux, and what
install.sh installs; Kubernetes itself is built before (see prepare.py).

    cluster = Cluster()
    cluster.start()
    try:
        cluster.kubectl("get", "pods")
    finally:
        cluster.stop()

RBAC, service accounts and the default admission are on. From here, Pods and Services are reached at their addresses; Pods reach
this machine at `cluster.machine`. Services have names, by the DNS server at `cluster.dns`.
"""

import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import audit, configs, guardian, images, logs, programs
from tests.cluster.api import Api
from tests.cluster.certificates import Authority
from tests.cluster.node import Node, Place
from tests.cluster.processes import ClusterError, Process, wait_until

_PREFIX = "katib-cluster-"
_START_S = 120
# What lies in images and volumes is removed with it, which takes minutes where others use the disk.
_STOP_S = 300
# It waits for clients that may have no wish to end, for a minute.
_LAST_WORDS_S = 5


class Cluster(Api):
    """One run's cluster."""

    busybox = images.BUSYBOX
    python = images.PYTHON
    scheduler_name = "second-scheduler"

    def __init__(self) -> None:
        """Nothing is made before `start`."""
        guardian.remove_leftovers(Path(tempfile.gettempdir()), _PREFIX)
        self._state = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.name = self._state.name
        super().__init__(programs.folder() / "kubectl", self._state / "unknown", self._state / "kubectl")
        self._logs = logs.new_folder(self.name)
        self.audit = self._logs / "audit.log"
        self._guardian: subprocess.Popen[bytes] | None = None
        self._processes: list[Process] = []

    def start(self) -> None:
        """Brings everything up: the nodes are ready and Pods may be created in `default`.

        Raises:
            ClusterError: with what did not happen, and the ends of the logs.
        """
        try:
            if not programs.built():
                raise ClusterError("Kubernetes is not built: run python -m tests.cluster.prepare")
            self._enter_namespaces()
            self._describe()
            self.etcd.start()
            self.nodes[0].containerd.start()
            wait_until("etcd answers", self._etcd_answers, timeout=_START_S)
            self.apiserver.start()
            self.nodes[0].start_containerd()
            self.nodes[0].import_image(images.busybox())
            wait_until("the API server is ready", self.apiserver_ready, timeout=_START_S)
            for process in (self.controller_manager, self.scheduler, self.proxy):
                process.start()
            self.nodes[0].boot()
            self.kubectl("create", "clusterrolebinding", "dns", "--clusterrole=view", "--user=dns")
            self.name_server.start()
            self._wait_for_node(self.nodes[0])
            wait_until("a service account in default", lambda: self.get("serviceaccount", "default"), timeout=_START_S)
        except BaseException as error:
            ends = "\n".join(process.tail() for process in self._processes)
            self.stop()
            if isinstance(error, (ClusterError, OSError, ValueError, subprocess.SubprocessError, images.ImageError)):
                raise ClusterError(
                    f"the cluster does not start: {error}\n{ends}\nthe whole logs: {self._logs}"
                ) from error
            raise

    def stop(self) -> None:
        """Takes everything down, with whatever runs in it; the logs stay."""
        held = self._guardian
        if held is None:
            shutil.rmtree(self._state, ignore_errors=True)
            return
        assert held.stdin
        assert held.stdout
        held.stdin.close()
        for process in self._processes:
            process.reap()  # its namespace is not gone before
        held.wait(_STOP_S)
        held.stdout.close()
        self._guardian = None

    # The control plane

    def start_apiserver(self) -> None:
        """Starts the API server after `kill_apiserver`; returns when it is ready."""
        self.apiserver.start()
        wait_until("the API server is ready", self.apiserver_ready, timeout=_START_S)

    def restart_apiserver(self) -> None:
        """Ends the API server in good order, which ends all watches, and starts it again."""
        self.apiserver.stop(patience=_LAST_WORDS_S)
        self.start_apiserver()

    def kill_apiserver(self) -> None:
        """Ends the API server at once; whoever connects is refused until `start_apiserver`."""
        self.apiserver.kill()

    def apiserver_ready(self) -> bool:
        """Whether it answers, and says that it is ready."""
        self.apiserver.check()
        request = urllib.request.Request(f"{self.server}/readyz")
        try:
            with urllib.request.urlopen(request, timeout=5, context=self._tls) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            raise ClusterError(error.read().decode(errors="replace")) from error

    @contextmanager
    def cut_off(self, *, silently: bool = False) -> Iterator[None]:
        """The API server can't be reached from here, while it is well and the nodes reach it.

        Connections that are there are reset and new ones refused; `silently`, what is sent just disappears.
        """
        verdict = "drop" if silently else "reject with tcp reset"
        rules = f"""
            table ip cut {{
                chain requests {{
                    type filter hook input priority -10
                    ip saddr {self.machine} tcp dport 6443 {verdict}
                }}
                chain answers {{
                    type filter hook output priority -10
                    ip daddr {self.machine} tcp sport 6443 {"drop" if silently else "accept"}
                }}
            }}
            """
        self._inside("nft", "--file", "-", data=rules)
        try:
            if not silently:
                self._inside("ss", "--kill", "--tcp", "dst", self.machine, "sport", "=", ":6443")
            yield
        finally:
            self._inside("nft", "delete", "table", "ip", "cut")

    @contextmanager
    def slow_etcd(self, *, pause: float = 0.5, work: float = 0.1) -> Iterator[None]:
        """etcd works for `work` seconds and does nothing for `pause` seconds, in turn."""
        ended = threading.Event()

        def alternate() -> None:
            while not ended.is_set():
                with self.etcd.paused():
                    ended.wait(pause)
                ended.wait(work)

        thread = threading.Thread(target=alternate)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def compact(self) -> None:
        """Forgets all history: who asks for changes since an older version than now gets 410 Gone from an API server that was
        started after this."""
        revision = self._ask_etcd("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        self._ask_etcd("/v3/kv/compaction", {"revision": revision, "physical": True})

    def asked_by(self, user: str) -> set[tuple[str, str, int]]:
        """Which requests about Pods a service account has made: resource, verb, and the answer's code."""
        return {(one.resource, one.verb, one.code) for one in audit.requests(self.audit, user)}

    # Nodes

    @contextmanager
    def second_node(self) -> Iterator[Node]:
        """A node that is there for a while; what runs on it when it goes is lost."""
        node = self._node(len(self.nodes))
        self.nodes.append(node)
        try:
            node.boot()
            node.import_image(images.busybox())
            self._wait_for_node(node)
            yield node
        finally:
            node.lose_power()
            self.nodes.remove(node)
            self.kubectl("delete", "node", node.name, "--ignore-not-found")

    def import_image(self, archive: Path) -> None:
        """See `Api.import_image`."""
        for node in self.nodes:
            node.import_image(archive)

    def import_python(self) -> str:
        """Makes the image with Python known, which is larger than the others; returns its name."""
        if any(self.python not in node.image_names() for node in self.nodes):
            self.import_image(images.python())
        return self.python

    # How it is made

    def _enter_namespaces(self) -> None:
        log = (self._logs / "guardian.log").open("wb")
        command = [sys.executable, "-S", guardian.__file__, str(self._state)]
        with log:
            self._guardian = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        assert self._guardian.stdout
        answer = self._guardian.stdout.readline()
        if not answer:
            raise ClusterError(f"no namespaces here: {(self._logs / 'guardian.log').read_text()}")
        held = json.loads(answer)
        self._pid = int(held["pid"])
        network = f"10.{held['network']}"
        self.machine = f"{network}.0.1"
        self.address = self.dns = f"{network}.0.2"
        self.server = f"https://{self.address}:6443"
        self._network = network

    def _describe(self) -> None:
        state, network = self._state, self._network
        self._authority = authority = Authority(state / "certificates")
        programs_, issue = programs.folder(), authority.issue
        named = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        at = [*named, "localhost", "127.0.0.1", self.address, f"{network}.128.1"]
        certificate, key = issue("kube-apiserver", at=at)
        kubelet_certificate, kubelet_key = issue("kube-apiserver-kubelet-client", "system:masters")
        self.kubeconfig = authority.kubeconfig(self.server, "kubernetes-admin", "system:masters")
        self._tls = ssl.create_default_context(cafile=str(authority.certificate))
        self._tls.load_cert_chain(*issue("kubernetes-admin-check", "system:masters"))

        (state / "no-plugins").mkdir()
        memory = guardian.memory_folder(state)
        memory.mkdir(exist_ok=True)
        self.etcd = self._process(
            "etcd",
            [
                "etcd",
                f"--data-dir={memory / 'etcd'}",
                f"--listen-client-urls=http://{self.address}:2379",
                f"--advertise-client-urls=http://{self.address}:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--log-level=warn",
                "--logger=zap",
            ],
        )
        self.apiserver = self._process(
            "kube-apiserver",
            [
                programs_ / "kube-apiserver",
                f"--etcd-servers=http://{self.address}:2379",
                f"--advertise-address={self.address}",
                "--secure-port=6443",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={authority.certificate}",
                f"--kubelet-client-certificate={kubelet_certificate}",
                f"--kubelet-client-key={kubelet_key}",
                "--kubelet-preferred-address-types=InternalIP",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={authority.tokens}",
                f"--service-account-signing-key-file={authority.tokens}",
                f"--service-cluster-ip-range={network}.128.0/24",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                f"--audit-policy-file={self._write('audit.json', audit.POLICY)}",
                f"--audit-log-path={self.audit}",
            ],
        )
        self.controller_manager = self._process(
            "kube-controller-manager",
            [
                programs_ / "kube-controller-manager",
                *self._client("system:kube-controller-manager"),
                f"--root-ca-file={authority.certificate}",
                f"--service-account-private-key-file={authority.tokens}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                f"--cert-dir={state}",
                f"--flex-volume-plugin-dir={state / 'no-plugins'}",
                # A node that says nothing for this long is lost.
                "--node-monitor-period=1s",
                "--node-monitor-grace-period=20s",
            ],
        )
        identity = authority.kubeconfig(self.server, "system:kube-scheduler")
        schedulers = configs.scheduler(identity, ("default-scheduler", self.scheduler_name))
        self.scheduler = self._process(
            "kube-scheduler",
            [
                programs_ / "kube-scheduler",
                *self._client("system:kube-scheduler")[1:],
                f"--config={self._write('scheduler.json', schedulers)}",
                f"--cert-dir={state}",
            ],
        )
        proxy = self._write(
            "proxy.json", configs.proxy(authority.kubeconfig(self.server, "system:kube-proxy"), network)
        )
        self.proxy = self._process("kube-proxy", [programs_ / "kube-proxy", f"--config={proxy}"])
        names = self._write("Corefile", configs.dns(authority.kubeconfig(self.server, "dns"), self.dns))
        self.name_server = self._process("coredns", [programs_ / "coredns", f"-conf={names}"])
        self.nodes = [self._node(0)]

    def _client(self, user: str) -> list[str]:
        kubeconfig = self._authority.kubeconfig(self.server, user)
        return [
            f"--{use}={kubeconfig}" for use in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        ]

    def _write(self, name: str, content: configs.Config | str) -> Path:
        path = self._state / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def _node(self, index: int) -> Node:
        place = Place(
            name=f"node-{index + 1}",
            address=f"{self._network}.0.{index + 2}",
            pods=f"{self._network}.{index + 1}.0/24",
            dns=self.dns,
            server=self.server,
            state=self._state,
        )
        return Node(place, self._authority, self._process)

    def _process(self, name: str, command: Sequence[str | Path]) -> Process:
        process = Process(name, command, self._logs / f"{name}.log", self._pid)
        self._processes.append(process)
        return process

    def _wait_for_node(self, node: Node) -> None:
        def ready() -> bool:
            conditions = self.get("node", node.name)["status"].get("conditions", [])
            found = next(
                (one for one in conditions if one["type"] == "Ready"), {"status": "Unknown", "message": "not seen yet"}
            )
            if found["status"] == "True":
                return True
            raise ClusterError(found["message"])

        wait_until(f"{node.name} is ready", ready, timeout=_START_S)

    def _etcd_answers(self) -> bool:
        self.etcd.check()
        with urllib.request.urlopen(f"http://{self.address}:2379/health", timeout=5) as answer:
            return bool(json.load(answer)["health"] == "true")

    def _ask_etcd(self, path: str, question: dict[str, object]) -> dict[str, dict[str, str]]:
        request = urllib.request.Request(f"http://{self.address}:2379{path}", json.dumps(question).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))

    def _inside(self, *command: str, data: str | None = None) -> None:
        enter = ["nsenter", f"--target={self._pid}", "--net", "--"]
        done = subprocess.run([*enter, *command], input=data, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(command)}: {done.stderr}")
