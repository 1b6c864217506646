"""Who a caller is found to be, and how soon it is nobody any more."""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from katib.api import api_pb2 as pb
from katib.api.credentials import bearer
from katib.domain.caller import Caller, CallerKind, Role
from katib.domain.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnauthenticatedError,
    UnavailableError,
)
from katib.domain.names import new_id
from katib.domain.tokens import Token
from katib.manager.access import RunAccess
from katib.manager.auth.authenticator import NOBODY, NOT_GOOD, Authenticator, Mode, parse_modes
from katib.manager.auth.bootstrap import open_bootstrap
from katib.manager.auth.cache import SEEN_WITHIN_S, CachedTokens
from katib.manager.auth.rules import RoleRules
from katib.manager.storage.credentials import MemoryTokens
from katib.manager.storage.secrets import MemorySecrets
from katib.manager.tokens import digest_of, id_in, new_secret
from tests.auth.conftest import Guarded
from tests.e2e.harness import stub, study, until

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ALL = frozenset(Mode)


class Counted(MemoryTokens):
    """As slow as one likes to count it."""

    def __init__(self) -> None:
        super().__init__()
        self.finds = 0
        self.uses = 0
        self.away = False

    def find(self, token_id: str) -> tuple[Token, str] | None:
        self.finds += 1
        return super().find(token_id)

    def used(self, token_id: str, at: datetime) -> None:
        self.uses += 1
        if self.away:
            raise UnavailableError("the database is away")
        super().used(token_id, at)


class Scene:
    def __init__(self, modes: frozenset[Mode] = ALL, roles: Sequence[str] = ()) -> None:
        self.store = Counted()
        self.clock = 0.0
        self.now = NOW
        self.attempts = RunAccess(MemorySecrets(), lambda: "m:1")
        self.cached = self.manager()
        self.authenticator = Authenticator(
            modes, self.cached, self.attempts, RoleRules.parse(roles), now=lambda: self.now
        )

    def manager(self) -> CachedTokens:
        return CachedTokens(self.store, clock=lambda: self.clock)

    def token(self, **fields: Any) -> str:
        token = Token(new_id(), "", "ann", CallerKind.USER, frozenset({Role.USER}), NOW, **fields)
        text = new_secret(token.id)
        self.store.add(token, digest_of(text))
        return text


def test_a_token_is_looked_up_once_in_ten_seconds_and_its_use_is_noted_once_an_hour() -> None:
    scene = Scene()
    text = scene.token(groups=frozenset({"ml"}))
    for _ in range(100):
        caller = scene.authenticator.caller(text, "")
        assert caller == Caller(CallerKind.USER, "ann", frozenset({Role.USER}), frozenset({"ml"}))
    # Noting its use makes it be read once more.
    assert (scene.store.finds, scene.store.uses) == (2, 1)
    scene.clock += SEEN_WITHIN_S
    scene.now += timedelta(minutes=59)
    scene.authenticator.caller(text, "")
    assert (scene.store.finds, scene.store.uses) == (3, 1)
    scene.now += timedelta(minutes=1)
    scene.authenticator.caller(text, "")
    assert scene.store.uses == 2


def test_that_its_use_cannot_be_noted_keeps_nobody_out() -> None:
    scene = Scene()
    text = scene.token()
    scene.store.away = True
    assert scene.authenticator.caller(text, "").name == "ann"


def test_a_revoked_token_is_worthless_at_once_here_and_in_ten_seconds_elsewhere() -> None:
    scene = Scene()
    text = scene.token()
    elsewhere = scene.manager()
    other = Authenticator(ALL, elsewhere, scene.attempts, RoleRules.parse(()), now=lambda: scene.now)
    scene.authenticator.caller(text, "")
    other.caller(text, "")
    other.caller(text, "")
    scene.cached.remove(id_in(text))
    with pytest.raises(UnauthenticatedError):
        scene.authenticator.caller(text, "")
    scene.clock += SEEN_WITHIN_S - 0.1
    other.caller(text, "")
    scene.clock += 0.1
    with pytest.raises(UnauthenticatedError):
        other.caller(text, "")


def test_a_token_is_good_until_it_expires_however_lately_it_was_looked_up() -> None:
    scene = Scene()
    text = scene.token(expires_at=NOW + timedelta(seconds=1))
    scene.authenticator.caller(text, "")
    scene.now += timedelta(seconds=1)
    with pytest.raises(UnauthenticatedError):
        scene.authenticator.caller(text, "")


def test_what_is_remembered_is_bounded_and_made_up_tokens_drive_nothing_out() -> None:
    scene = Scene()
    cached = CachedTokens(scene.store, most=10, clock=lambda: 0.0)
    texts = [scene.token() for _ in range(20)]
    for text in texts:
        cached.find(id_in(text))
    assert len(cached._found) == 10
    scene.store.finds = 0
    for _ in range(1000):
        cached.find(new_id())
    for text in texts[10:]:
        cached.find(id_in(text))
    assert scene.store.finds == 1000


def test_a_look_up_that_began_before_a_token_was_revoked_does_not_bring_it_back() -> None:
    scene = Scene()
    token_id = id_in(scene.token())
    find = scene.store.find

    def revoked_meanwhile(wanted: str) -> tuple[Token, str] | None:
        found = find(wanted)
        scene.cached.remove(wanted)
        return found

    scene.store.find = revoked_meanwhile  # type: ignore[method-assign]
    assert scene.cached.find(token_id) is not None
    scene.store.find = find  # type: ignore[method-assign]
    assert scene.cached.find(token_id) is None


def test_all_that_is_not_good_is_answered_in_the_same_words() -> None:
    scene = Scene()
    expired = scene.token(expires_at=NOW - timedelta(days=1))
    good = scene.token()
    wrong = [
        expired,
        new_secret(new_id()),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good + "A",
        f"{good[:23]}_",
        "katib_",
        "opensesame",
        "a.b.c",
        "run_a000000000000000_1_" + "x" * 43,
        "é" * 20,
    ]
    for text in wrong:
        with pytest.raises(UnauthenticatedError) as refused:
            scene.authenticator.caller(text, "certificate of ann")
        assert refused.value.message == NOT_GOOD
        assert text not in refused.value.message


@given(st.text())
def test_no_text_but_a_token_is_anybody(text: str) -> None:
    scene = Scene()
    with pytest.raises(UnauthenticatedError):
        scene.authenticator.caller(text, "")


def test_a_way_that_is_not_turned_on_is_none() -> None:
    scene = Scene(frozenset({Mode.MTLS}))
    with pytest.raises(UnauthenticatedError):
        scene.authenticator.caller(scene.token(), "")
    assert scene.authenticator.caller("", "ann").name == "ann"
    with pytest.raises(UnauthenticatedError, match="show who they are") as refused:
        Scene(frozenset({Mode.TOKENS})).authenticator.caller("", "ann")
    assert refused.value.message == NOBODY


def test_who_comes_by_a_certificate_has_the_roles_that_the_operator_says() -> None:
    plain = Scene().authenticator.caller("", "ann")
    assert plain == Caller(CallerKind.USER, "ann", frozenset({Role.USER}))
    ruled = Scene(roles=["ann=admin,viewer", "ann=user", "*=operator"]).authenticator
    assert ruled.caller("", "ann").roles == frozenset(Role)
    assert ruled.caller("", "bob").roles == frozenset({Role.OPERATOR})
    assert Scene(roles=["ann=admin"]).authenticator.caller("", "bob").roles == frozenset()
    for name in ("*", "group:ml", "x" * 256, "a\nb"):
        with pytest.raises(UnauthenticatedError, match="cannot be a caller's name"):
            ruled.caller("", name)


def test_a_trial_s_token_names_its_attempt() -> None:
    scene = Scene()
    trial_id = new_id()
    token = scene.attempts.environment(trial_id, 3)["KATIB_TOKEN"]
    assert scene.authenticator.caller(token, "") == Caller(CallerKind.TRIAL, f"{trial_id}-3")


@pytest.mark.parametrize("text", ["", "token", "tokens,", "none,tokens", "TOKENS"])
def test_what_no_way_of_showing_it_is_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="--auth"):
        parse_modes(text)


@pytest.mark.parametrize("text", ["ann", "ann=", "=admin", "ann=root", "ann=admin,,user"])
def test_what_is_no_rule_of_roles_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="--auth-role"):
        RoleRules.parse([text])


def test_the_first_token_is_made_for_its_user_alone_and_counts_as_long_as_its_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "token"
    first = open_bootstrap(path)
    first._again = 0
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text().strip()
    assert open_bootstrap(path).is_it(text)
    assert first.is_it(text)
    assert not first.is_it(text + "x")
    assert not first.is_it("")
    path.write_text("y" * 40)
    assert (first.is_it(text), first.is_it("y" * 40)) == (False, True)
    path.unlink()
    assert (first.is_it("y" * 40), first.is_it("")) == (False, False)


@pytest.mark.parametrize("text", ["", "short"])
def test_a_first_token_that_can_be_guessed_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(FailedPreconditionError, match="--bootstrap-token-file"):
        open_bootstrap(tmp_path / "token")


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_a_first_token_that_every_user_of_the_machine_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, mode: int, warned: bool
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "token"
    path.write_text("y" * 40)
    path.chmod(mode)
    open_bootstrap(path)
    assert (f"every user of this machine can read it: chmod 600 {path}" in caplog.text) is warned


@pytest.mark.long
def test_a_stream_that_is_open_ends_when_its_token_is_revoked(guarded: Guarded) -> None:
    secret = guarded.token("watcher", "user", owner="wanda")
    with guarded.client("watcher") as client:
        study_id = client.create_study(study(algorithm=""))
    stream = stub(guarded.world.address).WatchStudy(pb.WatchStudyRequest(study_id=study_id), metadata=bearer(secret))
    next(stream)
    ended = threading.Event()

    def follow() -> None:
        try:
            for _ in stream:
                pass
        except grpc.RpcError:
            ended.set()

    threading.Thread(target=follow, daemon=True).start()
    assert not ended.wait(0.2)
    began = time.monotonic()
    guarded.manager.service.revoke_token(id_in(secret))
    until(ended.is_set)
    assert stream.code() is grpc.StatusCode.CANCELLED
    assert time.monotonic() - began < 15
    # Their number does not grow.
    until(lambda: not guarded.manager._guard._streams._open)
