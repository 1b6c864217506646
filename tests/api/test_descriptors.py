"""How many files a server may have open."""

import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from katib.api.descriptors import limit_given, raise_limit
raise_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), limit_given())
"""


@pytest.mark.parametrize(
    ("soft", "hard", "most"), [(256, 4096, 4096), (4096, 4096, 4096), (256, 19_000, 19_000), (19_000, 19_000, 19_000)]
)
def test_a_server_has_as_many_as_it_may_and_knows_what_it_was_given(soft: int, hard: int, most: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < hard:
        pytest.skip(f"nobody may have {hard} files open here")
    done = subprocess.run(
        ["/bin/sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$0" -c "$1"', sys.executable, PROGRAM],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout.split(), done.stderr) == ([str(most), str(hard), str(soft)], "")
