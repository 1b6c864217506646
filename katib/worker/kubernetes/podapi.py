"""What the driver does with Pods: every request it ever sends stands here, and so does the list of verbs it must be granted."""

import random
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from katib.worker.kubernetes.api import MERGE_PATCH, Api, ApiError, Asked, Stream

PODS: Final = "pods"
LOG: Final = "pods/log"
STATUS: Final = "pods/status"
# The whole of it: deploy/ grants these in each namespace where Pods go, and nothing else.
VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    PODS: ("create", "delete", "get", "list", "patch", "watch"),
    LOG: ("get",),
    STATUS: ("patch",),
}
# As many Pods as the API server gives at once without trouble; kubectl's number.
PAGE: Final = 500
# Between the tries of a creation that met another one.
_CONFLICTS_S: Final = (0.02, 0.05, 0.1, 0.2)
# A page may take longer than one Pod.
_EVERYWHERE: Final = ""

Pod = dict[str, Any]


class PodApi:
    """A namespace `""` stands for all of them, where one is listed or watched."""

    def __init__(self, api: Api) -> None:
        self._api: Final = api

    def create(self, namespace: str, pod: Mapping[str, Any]) -> Pod:
        for pause in (*_CONFLICTS_S, None):
            try:
                return self._api.call(Asked("create", PODS, namespace), "POST", _path(namespace), None, pod)
            except ApiError as error:
                # A quota counts one Pod at a time; of several at once some are told to come again.
                if pause is None or (error.status, error.reason) != (409, "Conflict"):
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("the last try is returned or raised")

    def get(self, namespace: str, name: str) -> Pod | None:
        """None: there is none, for certain; the answer comes from the store, not from a cache."""
        try:
            return self._api.call(Asked("get", PODS, namespace), "GET", _path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def find(self, selector: str, name: str) -> Pod | None:
        """The Pod of that name in whatever namespace."""
        query = {"labelSelector": selector, "fieldSelector": f"metadata.name={name}", "limit": "1"}
        answer = self._api.call(Asked("list", PODS, _EVERYWHERE), "GET", _path(_EVERYWHERE), query)
        items = answer.get("items") or []
        return items[0] if items else None

    def page(self, namespace: str, selector: str, token: str) -> dict[str, Any]:
        """A PodList of at most PAGE. Without a resourceVersion it is the newest state: a Pod that is not there is not there."""
        query = {"labelSelector": selector, "limit": str(PAGE)}
        if token:
            query["continue"] = token
        return self._api.call(Asked("list", PODS, namespace), "GET", _path(namespace), query)

    def watch(self, namespace: str, selector: str, version: str, seconds: float, silence_s: float) -> Stream:
        query = {
            "watch": "true",
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": f"{seconds:.0f}",
        }
        return self._api.open(Asked("watch", PODS, namespace), _path(namespace), query, silence_s)

    def patch(self, namespace: str, name: str, change: Mapping[str, Any]) -> Pod:
        return self._api.call(
            Asked("patch", PODS, namespace), "PATCH", _path(namespace, name), None, change, MERGE_PATCH
        )

    def patch_status(self, namespace: str, name: str, change: Mapping[str, Any]) -> Pod:
        path = f"{_path(namespace, name)}/status"
        return self._api.call(Asked("patch", STATUS, namespace), "PATCH", path, None, change, MERGE_PATCH)

    def delete(self, namespace: str, name: str, uid: str, grace_s: int | None = None) -> None:
        """That very Pod; one of the same name that came after it is left alone. One that is gone is gone."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        try:
            self._api.call(Asked("delete", PODS, namespace), "DELETE", _path(namespace, name), None, body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def log(
        self,
        namespace: str,
        name: str,
        container: str,
        *,
        since: datetime | None = None,
        follow: bool = False,
        timestamps: bool = True,
        limit: int | None = None,
        silence_s: float | None = None,
    ) -> Stream:
        """`since` counts in whole seconds: what was printed in its second before it comes too."""
        query = {"container": container}
        if timestamps:
            query["timestamps"] = "true"
        if follow:
            query["follow"] = "true"
        if since is not None:
            query["sinceTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        if limit is not None:
            query["limitBytes"] = str(limit)
        return self._api.open(Asked("get", LOG, namespace), f"{_path(namespace, name)}/log", query, silence_s)


def _path(namespace: str, name: str = "") -> str:
    if not namespace:
        return "/api/v1/pods"
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"
    return f"{path}/{quote(name, safe='')}" if name else path
