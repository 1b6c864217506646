"""The copy of the Pods follows the API server through everything that may happen to a list or a watch."""

import json
import threading
import time

import pytest

from katib.domain.errors import UnavailableError
from katib.worker.kubernetes.api import Api
from katib.worker.kubernetes.podapi import PodApi
from katib.worker.kubernetes.reflector import Reflector
from tests.worker.kubernetes.messages import Answer, refusal

DEADLINE_S = 20.0
QUICK = {"backoff_first_s": 0.02, "backoff_most_s": 0.1, "stale_s": 0.3}


class Copy:
    """A sink that keeps the Pods by name."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.pods: dict[str, str] = {}
        self.lists = 0

    def replace(self, namespace, pods, version) -> None:
        with self.changed:
            self.pods = {p["metadata"]["name"]: p["metadata"]["resourceVersion"] for p in pods}
            self.lists += 1
            self.changed.notify_all()

    def apply(self, kind, pod) -> None:
        with self.changed:
            name = pod["metadata"]["name"]
            if kind == "DELETED":
                self.pods.pop(name, None)
            else:
                self.pods[name] = pod["metadata"]["resourceVersion"]
            self.changed.notify_all()

    def until(self, what: str, condition) -> None:
        deadline = time.monotonic() + DEADLINE_S
        with self.changed:
            while not condition(self):
                assert time.monotonic() < deadline, f"{what}; there are {sorted(self.pods)} after {self.lists} lists"
                self.changed.wait(0.02)


@pytest.fixture
def copy():
    return Copy()


@pytest.fixture
def reflect(access, copy):
    made = []

    def start(**options):
        api = Api(access())
        reflector = Reflector(PodApi(api), "default", "app=katib", copy, **(QUICK | options))
        made.append((reflector, api))
        reflector.start()
        return reflector

    yield start
    for reflector, api in made:
        reflector.stop()
        reflector.join(DEADLINE_S)
        api.close()


def add(api, name: str, app: str = "katib") -> None:
    with api.changed:
        metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": app}}
        api.change("ADDED", {"metadata": metadata, "spec": {}, "status": {}})


def watching(api) -> bool:
    return any(r.verb == "watch" for r in api.requests)


def until(what: str, condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def once(answer, matches):
    """A fault that happens to the first request that matches."""
    pending = [answer]

    def fault(request):
        return pending.pop() if pending and matches(request) else None

    return fault


def is_watch(request) -> bool:
    return request.verb == "watch"


def is_list(request) -> bool:
    return request.verb == "list"


def test_what_is_there_and_what_comes_is_seen_and_nothing_of_others(api, copy, reflect):
    add(api, "first")
    add(api, "foreign", app="other")
    reflect().require(DEADLINE_S)
    assert set(copy.pods) == {"first"}
    add(api, "second")
    add(api, "foreign-too", app="other")
    api.remove("default", "first")
    copy.until("events were missed", lambda c: set(c.pods) == {"second"})
    assert copy.lists == 1


def test_a_list_of_many_pages_is_one(api, copy, reflect, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.podapi.PAGE", 3)
    for i in range(10):
        add(api, f"pod-{i}")
    reflect().require(DEADLINE_S)
    assert len(copy.pods) == 10
    assert api.counts()["list", "pods"] == 4


def test_a_list_whose_later_pages_have_expired_begins_anew(api, copy, reflect, monkeypatch):
    monkeypatch.setattr("katib.worker.kubernetes.podapi.PAGE", 3)
    for i in range(10):
        add(api, f"pod-{i}")
    api.faults.append(
        once(refusal(410, "The provided continue parameter is too old", "Expired"), lambda r: "continue" in r.query)
    )
    reflect().require(DEADLINE_S)
    assert len(copy.pods) == 10


@pytest.mark.long
def test_a_watch_that_ends_properly_goes_on_without_another_list(api, copy, reflect):
    reflect(watch_s=1.3)
    until("no second watch", lambda: api.counts().get(("watch", "pods"), 0) >= 3)
    add(api, "late")
    copy.until("an event was missed", lambda c: "late" in c.pods)
    assert copy.lists == 1


def test_a_version_that_has_expired_when_the_watch_begins_is_listed_again(api, copy, reflect):
    api.faults.append(once(refusal(410, "too old resource version", "Expired"), is_watch))
    reflect()
    copy.until("not listed again", lambda c: c.lists == 2)
    add(api, "late")
    copy.until("an event was missed", lambda c: "late" in c.pods)


def test_a_version_that_expires_during_the_watch_is_listed_again(api, copy, reflect):
    reflect()
    until("no watch", lambda: watching(api))
    with api.changed:
        add(api, "unseen")
        api.forget_events()
    copy.until("not listed again", lambda c: c.lists == 2 and "unseen" in c.pods)


@pytest.mark.long
def test_bookmarks_keep_a_quiet_watch_from_expiring(api, copy, reflect):
    """Nothing of ours happens, much of others' does: from the list's own version nobody could watch any more."""
    api.bookmark_s = 0.1
    reflect(watch_s=1.3)
    until("no watch", lambda: watching(api))
    for i in range(20):
        add(api, f"foreign-{i}", app="other")
    current = api.version
    until("no bookmark came", lambda: any(r.query.get("resourceVersion") == str(current) for r in api.requests))
    assert copy.lists == 1


@pytest.mark.long
def test_an_api_server_that_calls_every_version_expired_is_not_hammered(api, copy, reflect):
    api.faults.append(lambda r: refusal(410, "too old resource version", "Expired") if is_watch(r) else None)
    reflect(backoff_first_s=0.2, backoff_most_s=5.0)
    time.sleep(2.0)
    assert 2 <= copy.lists <= 12


@pytest.mark.parametrize(
    "cut",
    [
        lambda h: (h.begin(), h.chunk(b'{"type":"ADDED","object":{"meta'), h.end()),
        lambda h: (h.begin(), h.chunk(b'{"type":"ADDED","object":{"meta'), h.cut()),
        lambda h: (h.begin(), h.cut()),
        lambda h: h.cut(),
        lambda h: (h.begin(), h.chunk(b"<html>a proxy</html>\n"), h.end()),
        lambda h: (h.begin(), h.chunk(b'["no event"]\n'), h.end()),
        lambda h: (h.begin(), h.event("ERROR", {"code": 500, "message": "etcdserver: no leader"}), h.end()),
    ],
    ids=["mid-event", "mid-event-reset", "mid-watch", "before-headers", "no-json", "no-object", "error-event"],
)
def test_a_watch_that_is_cut_or_nonsense_is_followed_by_a_list(api, copy, reflect, cut):
    api.faults.append(once(Answer(raw=cut), is_watch))
    reflect()
    copy.until("not listed again", lambda c: c.lists == 2)
    add(api, "late")
    copy.until("an event was missed", lambda c: "late" in c.pods)


def test_a_watch_that_falls_silent_is_given_up(api, copy, reflect):
    held = threading.Event()
    api.faults.append(once(Answer(raw=lambda h: (h.begin(), held.wait(DEADLINE_S))), is_watch))
    reflect(silence_s=0.3)
    copy.until("it waited on", lambda c: c.lists == 2)
    held.set()


def test_while_nothing_was_ever_heard_nobody_may_rely_on_the_copy_and_hears_why(api, reflect):
    api.faults.append(lambda r: refusal(500, "etcdserver: request timed out"))
    reflector = reflect()
    with pytest.raises(UnavailableError, match="not known yet"):
        reflector.require(0.3)
    until("it never said why", lambda: "request timed out" in _trouble(reflector))
    api.faults.clear()
    reflector.require(DEADLINE_S)


def test_a_copy_without_contact_may_be_relied_upon_for_a_while_only(api, copy, reflect):
    add(api, "first")
    reflector = reflect()
    until("no watch", lambda: watching(api))
    api.stop()
    until("it is still relied upon", lambda: "connection refused" in _trouble(reflector))
    api.restart()
    add(api, "second")
    copy.until("it never came back", lambda c: "second" in c.pods)
    reflector.require(DEADLINE_S)


def test_a_denial_names_the_verb_to_grant(api, reflect):
    who = 'User "system:serviceaccount:katib:manager"'
    said = f'pods is forbidden: {who} cannot list resource "pods" in API group "" in the namespace "default"'
    api.faults.append(lambda r: refusal(403, said, "Forbidden"))
    reflector = reflect()
    until("it never said so", lambda: "grant the verb list on pods" in _trouble(reflector))


def test_stopping_ends_a_watch_at_once(api, reflect):
    reflector = reflect()
    until("no watch", lambda: watching(api))
    begin = time.monotonic()
    reflector.stop()
    reflector.join(DEADLINE_S)
    assert time.monotonic() - begin < 5


def test_events_in_pieces_and_several_to_a_piece_are_the_same(api, copy, reflect):
    pods = [{"metadata": {"name": f"pod-{i}", "resourceVersion": str(5000 + i), "labels": {}}} for i in range(20)]
    text = b"".join(json.dumps({"type": "ADDED", "object": pod}).encode() + b"\n" for pod in pods)

    def pieces(handler) -> None:
        handler.begin()
        for i in range(0, len(text), 37):
            handler.chunk(text[i : i + 37])
        handler.end()

    api.faults.append(once(Answer(raw=pieces), is_watch))
    reflect()
    copy.until("events were missed", lambda c: len(c.pods) == 20)


def _trouble(reflector) -> str:
    try:
        reflector.require(0.0)
    except UnavailableError as error:
        return error.message
    return ""


def test_a_right_to_watch_that_is_missing_is_told_once_a_minute_while_lists_do_instead(api, reflect, copy, caplog):
    said = 'pods is forbidden: User "katib" cannot watch resource "pods" in API group "" in the namespace "default"'
    api.faults.append(lambda request: refusal(403, said, "Forbidden") if request.verb == "watch" else None)
    reflect(**QUICK)
    copy.until("it is not listed again and again", lambda copy: copy.lists >= 5)
    told = [record.getMessage() for record in caplog.records if "lost sight" in record.getMessage()]
    assert len(told) == 1
    assert "grant the verb watch on pods" in told[0]
