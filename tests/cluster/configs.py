"""What the control plane's programs are told in files."""

from collections.abc import Sequence
from pathlib import Path

Config = dict[str, object]


def scheduler(kubeconfig: Path, names: Sequence[str]) -> Config:
    """Several schedulers in one program; as fast as it can, where it would keep to 50 Pods a second by itself."""
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 1000, "burst": 1000},
        "leaderElection": {"leaderElect": False},
        "profiles": [{"schedulerName": name} for name in names],
    }


def proxy(kubeconfig: Path, network: str) -> Config:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": "node-1",
        "clusterCIDR": f"{network}.0.0/16",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # Limits of the whole machine: not ours to set.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def dns(kubeconfig: Path, address: str) -> str:
    return f"""
        . {{
            bind {address}
            errors
            ready {address}:8181
            kubernetes cluster.local {{
                kubeconfig {kubeconfig}
                ttl 30
            }}
        }}
        """
