"""What is asked of the API server, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.worker.kubernetes.apiserver import Handler


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    namespace: str
    name: str
    part: str

    @property
    def verb(self) -> str:
        if self.method == "GET":
            if self.query.get("watch"):
                return "watch"
            return "get" if self.name else "list"
        return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[self.method]

    @property
    def resource(self) -> str:
        return f"pods/{self.part}" if self.part else "pods"

    def told(self, kind: str, pod: dict[str, Any], known: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """What a watch says of this event; of a Pod that it was about and is no more, that it is gone, and how it was. `known`:
        those that it is about, by their uids."""
        if self.fits(pod, pod["metadata"]["namespace"]):
            known[pod["metadata"]["uid"]] = pod
            return kind, pod
        before = known.pop(pod["metadata"]["uid"], None)
        return None if before is None else ("DELETED", before)

    def fits(self, pod: dict[str, Any], namespace: str) -> bool:
        """Whether it is about this Pod, by its namespace and selectors."""
        if self.namespace and namespace != self.namespace:
            return False
        labels = pod["metadata"].get("labels") or {}
        for term in filter(None, self.query.get("labelSelector", "").split(",")):
            name, _, value = term.partition("=")
            if labels.get(name) != value:
                return False
        field_, _, wanted = self.query.get("fieldSelector", "").partition("=")
        return not field_ or (field_ == "metadata.name" and pod["metadata"]["name"] == wanted)


@dataclass
class Answer:
    """`raw`: writes to the handler itself, whatever it likes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[["Handler"], None] | None = None


def refusal(status: int, message: str, reason: str = "", **headers: str) -> Answer:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class RefusedError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.body))
        self.answer = answer
