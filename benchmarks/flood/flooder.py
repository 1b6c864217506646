"""A client that means no good: many connections, on each as many calls at once as it likes, large messages, streams.

    python -m benchmarks.flood.flooder ADDRESS TOKEN_FILE STUDY [KIND ...]

It begins with a line on the standard input and ends with the next, or with the end of it; then it says what it was answered. It
waits for no answer before its next call, but for as many as it can have out.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import grpc

from katib.api import api_pb2 as pb
from katib.api.api_pb2_grpc import ManagerStub
from katib.api.channel import open_channel
from katib.api.credentials import bearer

CONNECTIONS: Final = 50
# On each connection.
CALLS: Final = 40
STREAMS: Final = 10
# One on each of so many connections.
LARGE: Final = 8
_LARGE_BYTES: Final = 8 * 1024 * 1024
_TIMEOUT_S: Final = 30
# What it does, all at once unless some are named.
WHO: Final = "who"
LIST: Final = "list"
SUGGEST: Final = "suggest"
MESSAGES: Final = "messages"
STREAM: Final = "streams"
KINDS: Final = (WHO, LIST, SUGGEST, MESSAGES, STREAM)


class Flood:
    def __init__(self, address: str, token: str, study: str, kinds: Collection[str] = KINDS) -> None:
        self._kinds = kinds
        self._calls = [kind for kind in (WHO, LIST, SUGGEST) if kind in kinds]
        self._metadata = bearer(token)
        self._study = study
        self.answers: Counter[str] = Counter()
        self._on = False
        # What is not answered yet; a call that has been answered may stand here until the next beginning.
        self._out: set[Any] = set()
        # Made by a thread of their own: a callback that called again would never return where calls fail at once.
        self._due: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        threading.Thread(target=self._call, daemon=True).start()
        self._stubs = [ManagerStub(open_channel(address)) for _ in range(CONNECTIONS)]  # type: ignore[no-untyped-call]
        # A study's name that no study may have: read as a whole before it is refused, if it is read.
        self._large = pb.CreateStudyRequest(study_config=pb.StudyConfig(name="x" * _LARGE_BYTES))

    def begin(self) -> None:
        self.answers.clear()
        self._on = True
        for n, stub in enumerate(self._stubs):
            for i in range(CALLS if self._calls else 0):
                self._due.put(self._cheap(stub, i))
            if n < LARGE and MESSAGES in self._kinds:
                self._due.put(lambda stub=stub: stub.CreateStudy.future(self._large, **self._how()))  # type: ignore[misc]
            for _ in range(STREAMS if STREAM in self._kinds else 0):
                threading.Thread(target=self._watch, args=(stub,), daemon=True).start()

    def end(self) -> dict[str, int]:
        """Takes back what it has out, so that nothing of it is left."""
        self._on = False
        answers = dict(self.answers)
        for call in list(self._out):
            call.cancel()
        self._out.clear()
        return answers

    def _how(self) -> dict[str, Any]:
        return {"timeout": _TIMEOUT_S, "metadata": self._metadata}

    def _cheap(self, stub: Any, i: int) -> Callable[[], Any]:
        kind = self._calls[i % len(self._calls)]
        if kind == WHO:
            return lambda: stub.WhoAmI.future(pb.WhoAmIRequest(), **self._how())
        if kind == LIST:
            return lambda: stub.ListTrials.future(
                pb.ListTrialsRequest(study_id=self._study, page_size=1000), **self._how()
            )
        return lambda: stub.SuggestTrials.future(
            pb.SuggestTrialsRequest(study_id=self._study, client_id=f"flood {i}", count=1), **self._how()
        )

    def _call(self) -> None:
        while True:
            call = self._due.get()
            if self._on:
                made = call()
                self._out.add(made)
                made.add_done_callback(lambda answered, call=call: self._answered(answered, call))

    def _answered(self, answered: Any, call: Callable[[], Any]) -> None:
        self._out.discard(answered)
        self.answers[answered.code().name] += 1
        self._due.put(call)

    def _watch(self, stub: Any) -> None:
        while self._on:
            stream = stub.WatchStudy(pb.WatchStudyRequest(study_id=self._study), **self._how())
            self._out.add(stream)
            try:
                for _ in stream:
                    self.answers["event"] += 1
                    if not self._on:
                        break
            except grpc.RpcError as error:
                self.answers[f"stream {error.code().name}"] += 1
            else:
                time.sleep(0.01)
            finally:
                self._out.discard(stream)


def main() -> None:
    address, token_file, study, *kinds = sys.argv[1:]
    flood = Flood(address, Path(token_file).read_text(), study, kinds or KINDS)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        began = time.monotonic()
        flood.begin()
        sys.stdin.readline()
        answers = flood.end()
        print(json.dumps({"seconds": time.monotonic() - began, "answers": answers}), flush=True)


if __name__ == "__main__":
    main()
