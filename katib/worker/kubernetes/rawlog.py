"""A Pod's log as bytes, from an offset on, for people.

The API server gives a log from its beginning, from a time, or its last lines; never from an offset. What stands before the
offset is read and passed over; a kubelet keeps at most containerLogMaxSize of it (10 MiB unless told otherwise).
"""

import re
from collections import deque
from typing import Final

from katib.worker.kubernetes.podapi import PodApi

MAX_READ: Final = 4 * 1024 * 1024
# Beyond it there is no reading on: a node that keeps such logs wants another tool.
MAX_PASSED: Final = 256 * 1024 * 1024
_SILENCE_S: Final = 30.0
# What the kubelet says in the place of a log, or of the rest of one, that it cannot read: the program has not printed that.
_REMARK: Final = re.compile(rb"(?:^|(?<=\n))unable to retrieve container logs for [\w.+-]+://\w*\Z")


def read_raw(
    pods: PodApi, namespace: str, name: str, container: str, offset: int, max_bytes: int
) -> tuple[bytes, int, bool]:
    """The bytes, the offset behind them, and whether that is the end of what is there now. A negative offset counts from the
    end; one beyond the end stands for it."""
    wanted = min(max(max_bytes, 1), MAX_READ)
    # One byte more shows whether there is more.
    limit = None if offset < 0 else min(offset + wanted + 1, MAX_PASSED)
    stream = pods.log(namespace, name, container, timestamps=False, limit=limit, silence_s=_SILENCE_S)
    held: deque[bytes] = deque()
    size = passed = 0
    try:
        for data in stream:
            held.append(data)
            size += len(data)
            # Only the last bytes count, or those from the offset on.
            while held and (
                size - len(held[0]) >= -offset if offset < 0 else passed + len(held[0]) <= offset and len(held) > 1
            ):
                piece = held.popleft()
                size -= len(piece)
                passed += len(piece)
            if passed + size >= MAX_PASSED:
                break
    finally:
        stream.close()
    data = _REMARK.sub(b"", b"".join(held))
    end = passed + len(data)
    start = max(end + offset, 0) if offset < 0 else min(offset, end)
    data = data[max(start - passed, 0) :]
    given = data[:wanted]
    return given, start + len(given), len(given) == len(data)
