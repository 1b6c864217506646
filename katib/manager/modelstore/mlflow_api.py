"""The few calls of MLflow's REST API (2.0) that the model store needs.

By urllib3, not by MLflow's own client: that brings some forty packages, one of which keeps the Kubernetes client from its
current version, takes seconds to import, and has its time-outs and retries from the environment of the whole process.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import urllib3

from katib.domain.errors import FailedPreconditionError, KatibError, NotFoundError, UnavailableError

_TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=20.0)
_PAGE: Final = 1000
# What MLflow takes in one `log-batch`.
MAX_METRICS: Final = 1000
MAX_PARAMS: Final = 100
MAX_TAGS: Final = 100
_LONGEST_ANSWER: Final = 300

Json = dict[str, Any]


class MlflowApi:
    """A tracking server. Its errors are KatibErrors: UnavailableError when it cannot be reached, is overloaded or failing."""

    def __init__(self, address: str) -> None:
        """`address`: http(s)://[USER:PASSWORD@]HOST[:PORT][/PREFIX]. A token may be in MLFLOW_TRACKING_TOKEN, as for MLflow's
        own client."""
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        self.address: Final = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            user, password = unquote(parts.username), unquote(parts.password or "")
            headers |= urllib3.make_headers(basic_auth=f"{user}:{password}")
        elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        self._pool: Final = urllib3.PoolManager(headers=headers, timeout=_TIMEOUT, retries=False)

    def close(self) -> None:
        self._pool.clear()

    # Experiments

    def find_experiment(self, name: str) -> Json | None:
        try:
            found: Json = self._get("experiments/get-by-name", {"experiment_name": name})["experiment"]
        except NotFoundError:
            return None
        return found

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Raises FailedPreconditionError when there is one."""
        reply = self._post("experiments/create", {"name": name, "tags": _pairs(tags)})
        return str(reply["experiment_id"])

    def tag_experiment(self, experiment: str, tags: Mapping[str, str]) -> None:
        for pair in _pairs(tags):
            self._post("experiments/set-experiment-tag", {"experiment_id": experiment, **pair})

    def experiments(self, filter_: str) -> Iterator[Json]:
        yield from self._all("experiments/search", "experiments", {"filter": filter_, "max_results": _PAGE})

    # Runs

    def create_run(self, experiment: str, name: str, start_ms: int, tags: Mapping[str, str]) -> str:
        body = {"experiment_id": experiment, "run_name": name, "start_time": start_ms, "tags": _pairs(tags)}
        return str(self._post("runs/create", body)["run"]["info"]["run_id"])

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
        yield from self._all("runs/search", "runs", body)

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
        return reply.get("runs", ()), reply.get("next_page_token", "")

    # Requests

    def _all(self, path: str, items: str, body: Json) -> Iterator[Json]:
        token = ""
        while True:
            reply = self._post(path, {**body, "page_token": token})
            yield from reply.get(items, ())
            token = reply.get("next_page_token", "")
            if not token:
                return

    def _get(self, path: str, fields: Mapping[str, str]) -> Json:
        return self._send("GET", path, fields=fields)

    def _post(self, path: str, body: Json) -> Json:
        return self._send("POST", path, body=json.dumps(body, allow_nan=False).encode())

    def _send(self, method: str, path: str, **how: Any) -> Json:
        url = f"{self.address}/api/2.0/mlflow/{path}"
        try:
            answer = self._pool.request(method, url, redirect=False, **how)
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"MLflow at {self.address} cannot be reached: {error}") from error
        if answer.status == 200:
            try:
                reply = json.loads(answer.data)
            except ValueError:
                reply = None
            if isinstance(reply, dict):
                return reply
            raise UnavailableError(
                f"what answers at {self.address} is no MLflow tracking server: it sent no JSON object"
            )
        raise self._error(answer.status, answer.data, path)

    def _error(self, status: int, data: bytes, path: str) -> KatibError:
        try:
            reply = json.loads(data)
            code, message = str(reply["error_code"]), str(reply.get("message", ""))
        except (ValueError, KeyError, TypeError):
            code, message = "", data.decode(errors="replace")
        what = f"MLflow at {self.address} answered {path} with {status} {code}: {message[:_LONGEST_ANSWER]}"
        if code == "RESOURCE_DOES_NOT_EXIST":
            return NotFoundError(what)
        # Whoever refuses our credentials now may take them when they have been mended: nothing is lost until then.
        if status >= 500 or status in (401, 403, 408, 429) or not code:
            return UnavailableError(what)
        return FailedPreconditionError(what)


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
