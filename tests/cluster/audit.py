"""What the API server has written down of the requests about Pods that service accounts have made."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

# What is written down: who, what and how it was answered, once it was.
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "userGroups": ["system:serviceaccounts"],
            "resources": [{"group": "", "resources": ["pods", "pods/*"]}],
        }
    ],
}


@dataclass(frozen=True)
class Request:
    """`resource` with the subresource, `pods/log`. `allowed`: by the rules of who may do what. `streaming`: this tells that a
    watch or a log has begun to be answered; when it is over there is another entry."""

    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    allowed: bool
    streaming: bool
    received_at: datetime
    answered_at: datetime


def requests(log: Path, user: str) -> Iterator[Request]:
    """Of one user, in the order of the answers."""
    with log.open() as lines:
        for line in lines:
            if user not in line or not line.endswith("\n"):
                continue
            event = json.loads(line)
            if event["user"]["username"] != user:
                continue
            about = event["objectRef"]
            yield Request(
                event["verb"],
                "/".join(filter(None, (about["resource"], about.get("subresource")))),
                about.get("namespace", ""),
                about.get("name", ""),
                event["responseStatus"]["code"],
                event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid",
                event["stage"] == "ResponseStarted",
                datetime.fromisoformat(event["requestReceivedTimestamp"]),
                datetime.fromisoformat(event["stageTimestamp"]),
            )
