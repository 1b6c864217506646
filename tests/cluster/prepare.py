"""Builds and makes what the test cluster is started from, where it is not in the cache: `python -m tests.cluster.prepare`."""

import os
import sys

from tests.cluster import images, programs


def main() -> int:
    """1 in CI where something is missing; elsewhere the tests say so when they are skipped."""
    if os.environ.get("KATIB_TEST_KUBECONFIG"):
        return 0
    missing = programs.missing(prepared=False)
    try:
        if not missing:
            print(f"Kubernetes {programs.version()}: {programs.build()}")
            for make in (images.pause, images.busybox, images.python):
                print(f"image: {make()}")
            return 0
    except (programs.BuildError, images.ImageError, OSError) as error:
        missing = [str(error)]
    print(f"The test cluster can't be made here. This machine lacks: {'; '.join(missing)}", file=sys.stderr)
    return 1 if os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
