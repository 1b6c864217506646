"""What is in an image, seen from a container of it that is as restricted as Katib's own."""

import json

from tests.cluster.installation import Installation


def _inside(katib: Installation, name: str, image: str, program: str) -> str:
    """What a program of Python's prints in a container of the image, under the rules of the namespace."""
    spec = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": katib.namespace},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", program],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    katib.cluster.create(spec)
    try:
        katib.cluster.wait_for_phase(name, katib.namespace, "Succeeded", timeout=120)
        return katib.kubectl("logs", name)
    finally:
        katib.kubectl("delete", "pod", name, "--wait=false")


_LOOK = """
import importlib.util, json, os, sys
from importlib.metadata import distributions
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
bill = json.load(open("/opt/katib/sbom.cdx.json"))
print(json.dumps({
    "modules": [n for n in sys.argv[1:] if there(n)],
    "programs": sorted(
        name
        for folder in {os.path.realpath(f) for f in os.environ["PATH"].split(":") if os.path.isdir(f)}
        for name in os.listdir(folder)
        if not name.startswith(("python", "katib-"))
    ),
    "caches": [p for p in ("/root/.cache", "/build", "/tmp/pip") if os.path.exists(p)],
    "uid": os.getuid(),
    "bill": sorted(c["name"] for c in bill["components"]),
}))
"""


def look(katib: Installation, name: str, image: str, *modules: str) -> dict[str, object]:
    return dict(json.loads(_inside(katib, name, image, _LOOK.replace("sys.argv[1:]", repr(modules)))))
