"""Writes a software bill of materials of the environment that runs it, in CycloneDX's JSON: `sbom.py NAME >sbom.cdx.json`."""

import json
import re
import sys
from importlib.metadata import Distribution, distributions, version
from typing import Any


def component(distribution: Distribution) -> dict[str, Any]:
    """A Python package by its package URL, with the licence that it declares."""
    metadata = distribution.metadata
    name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
    url = f"pkg:pypi/{name}@{distribution.version}"
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": distribution.version,
        "purl": url,
    }
    if "License-Expression" in metadata:
        found["licenses"] = [{"expression": metadata["License-Expression"]}]
    else:
        kinds = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License :: ")]
        named = [{"license": {"name": kind.rpartition(" :: ")[2]}} for kind in kinds]
        if named:
            found["licenses"] = named
    return found


def main() -> None:
    """The image is the subject; whatever is installed beside it is what it is made of."""
    components = sorted(map(component, distributions()), key=lambda found: str(found["purl"]))
    subject = {"type": "container", "name": sys.argv[1], "version": version("katib")}
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": subject}}
    json.dump({**bill, "components": components}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
