"""The few calls of MLflow's REST API (2.0) that the model store needs.

By urllib3, not by MLflow's own client: that brings some forty packages, one of which keeps the Kubernetes client from its
current version, takes seconds to import, and has its time-outs and retries from the environment of the whole process.
"""

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    KatibError,
    NotFoundError,
    UnavailableError,
)
from katib.manager.modelstore.places import AT_ONCE, Places

_TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=20.0)
# The time-out above is for each piece of an answer.
_ANSWER_S: Final = 60.0
_PIECE: Final = 1024 * 1024
_TOKEN: Final = "MLFLOW_TRACKING_TOKEN"  # noqa: S105  # its name
_PAGE: Final = 1000
# What MLflow takes in one `log-batch`.
MAX_METRICS: Final = 1000
MAX_PARAMS: Final = 100
MAX_TAGS: Final = 100
_LONGEST_ANSWER: Final = 300

Json = dict[str, Any]


class _EndlessError(HTTPError):
    pass


_LONG: Final = (ReadTimeoutError, ConnectTimeoutError, _EndlessError)


class MlflowApi:
    """A tracking server. Its errors are KatibErrors: UnavailableError when it cannot be reached, is overloaded or failing."""

    def __init__(self, address: str) -> None:
        """`address`: http(s)://[USER:PASSWORD@]HOST[:PORT][/PREFIX]. A token may be in MLFLOW_TRACKING_TOKEN, as for MLflow's
        own client.

        Raises ValueError for an address that is none, and InvalidArgumentError for such a token.
        """
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        if not parts.hostname or parts.port == 0 or parts.query or parts.fragment or set(address) & set(" \t\r\n"):
            raise ValueError("no address of a server")
        self.address: Final = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        elif token := os.environ.get(_TOKEN, "").strip():
            if not token.isascii() or not token.isprintable():
                raise InvalidArgumentError.of(_TOKEN, "***", "expected one line of ASCII")
            headers["Authorization"] = f"Bearer {token}"
        self._pool: Final = urllib3.PoolManager(headers=headers, timeout=_TIMEOUT, retries=False, maxsize=AT_ONCE + 1)
        self._places: Final = Places(f"MLflow at {self.address}")

    def close(self) -> None:
        self._pool.clear()

    # Experiments

    def find_experiment(self, name: str) -> Json | None:
        try:
            reply = self._get("experiments/get-by-name", {"experiment_name": name})
        except NotFoundError:
            return None
        return self._having("experiment_id", reply.get("experiment"))

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Raises FailedPreconditionError when there is one."""
        reply = self._post("experiments/create", {"name": name, "tags": _pairs(tags)})
        return str(self._having("experiment_id", reply)["experiment_id"])

    def tag_experiment(self, experiment: str, tags: Mapping[str, str]) -> None:
        for pair in _pairs(tags):
            self._post("experiments/set-experiment-tag", {"experiment_id": experiment, **pair})

    def experiments(self, filter_: str) -> Iterator[Json]:
        body = {"filter": filter_, "max_results": _PAGE}
        for found in self._all("experiments/search", "experiments", body):
            yield self._having("name", found)

    # Runs

    def create_run(self, experiment: str, name: str, start_ms: int, tags: Mapping[str, str]) -> str:
        body = {"experiment_id": experiment, "run_name": name, "start_time": start_ms, "tags": _pairs(tags)}
        return str(self._run(self._post("runs/create", body).get("run"))["info"]["run_id"])

    def end_run(self, run: str, status: str, end_ms: int) -> None:
        self._post("runs/update", {"run_id": run, "status": status, "end_time": end_ms})

    def delete_run(self, run: str) -> None:
        try:
            self._post("runs/delete", {"run_id": run})
        except NotFoundError:
            pass

    def log(
        self,
        run: str,
        metrics: Sequence[Json] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """At most what fits into one request of each. The same again changes nothing; a parameter cannot get another value."""
        params_ = _pairs(params or {})
        self._post("runs/log-batch", {"run_id": run, "metrics": metrics, "params": params_, "tags": _pairs(tags or {})})

    def runs(self, experiment: str, filter_: str) -> Iterator[Json]:
        body = {"experiment_ids": [experiment], "filter": filter_, "max_results": _PAGE}
        yield from map(self._run, self._all("runs/search", "runs", body))

    def page_of_runs(
        self, experiment: str, filter_: str, order_by: Sequence[str], size: int, token: str
    ) -> tuple[Sequence[Json], str]:
        body = {
            "experiment_ids": [experiment],
            "filter": filter_,
            "order_by": list(order_by),
            "max_results": size,
            "page_token": token,
        }
        reply = self._post("runs/search", body)
        return [self._run(found) for found in self._list("runs", reply)], reply.get("next_page_token", "")

    # Requests

    def _all(self, path: str, items: str, body: Json) -> Iterator[object]:
        token = ""
        while True:
            reply = self._post(path, {**body, "page_token": token})
            yield from self._list(items, reply)
            token = reply.get("next_page_token", "")
            if not token:
                return

    def _get(self, path: str, fields: Mapping[str, str]) -> Json:
        return self._send("GET", path, fields=fields)

    def _post(self, path: str, body: Json) -> Json:
        return self._send("POST", path, body=json.dumps(body, allow_nan=False).encode())

    def _send(self, method: str, path: str, **how: Any) -> Json:
        url = f"{self.address}/api/2.0/mlflow/{path}"
        with self._places.one():
            try:
                answer = self._pool.request(method, url, redirect=False, preload_content=False, **how)
                data = self._whole(answer)
            except HTTPError as error:
                known = UnavailableError(f"MLflow at {self.address} cannot be reached: {error}")
                # A connection that is refused is none of these that took long, whatever urllib3 derives it from.
                if isinstance(error, _LONG) and not isinstance(error, NewConnectionError):
                    self._places.silent(known.message)
                raise known from error
            self._places.answered()
        if answer.status == 200:
            try:
                reply = json.loads(data)
            except (ValueError, RecursionError):
                reply = None
            if isinstance(reply, dict):
                return reply
            raise self._stranger("it sent no JSON object")
        raise self._error(answer.status, data, path)

    def _whole(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        deadline = time.monotonic() + _ANSWER_S
        pieces = []
        while piece := answer.read1(_PIECE):
            pieces.append(piece)
            if time.monotonic() > deadline:
                answer.close()
                raise _EndlessError(f"its answer was not whole after {_ANSWER_S:g} s")
        answer.release_conn()
        return b"".join(pieces)

    def _error(self, status: int, data: bytes, path: str) -> KatibError:
        try:
            reply = json.loads(data)
            code, message = str(reply["error_code"]), str(reply.get("message", ""))
        except (ValueError, KeyError, TypeError, RecursionError):
            code, message = "", data.decode(errors="replace")
        said = ": ".join(filter(None, (f"{status} {code}".rstrip(), " ".join(message.split())[:_LONGEST_ANSWER])))
        what = f"MLflow at {self.address} answered {path} with {said}"
        if code == "RESOURCE_DOES_NOT_EXIST":
            return NotFoundError(what)
        # Whoever refuses our credentials now may take them when they have been mended: nothing is lost until then.
        if status in (401, 403):
            return UnavailableError(
                f"{what}; give a user in --model-store, or a token in {_TOKEN}, that may write there"
            )
        if not code and status < 500 and status not in (408, 429):
            return self._stranger(f"it answered {path} with {said}")
        if status >= 500 or status in (408, 429):
            return UnavailableError(what)
        return FailedPreconditionError(what)

    # What is in an answer

    def _list(self, name: str, reply: Json) -> Sequence[object]:
        found = reply.get(name, [])
        if not isinstance(found, list):
            raise self._stranger(f"its {name} are no list")
        return found

    def _run(self, found: object) -> Json:
        run = self._having("info", found)
        self._having("run_id", run["info"])
        return run

    def _having(self, name: str, found: object) -> Json:
        if not isinstance(found, dict) or name not in found:
            raise self._stranger(f"its answer has no {name}")
        return found

    def _stranger(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"what answers at {self.address} is no MLflow tracking server: {why}; correct --model-store, or look what stands "
            "before the server"
        )


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
