"""The tokens that a database keeps: every manager on it sees the same ones."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from katib.domain.caller import CallerKind, Role
from katib.domain.names import new_id
from katib.domain.tokens import Token
from katib.manager.storage.credentials import open_tokens
from katib.manager.storage.open import open_storage

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite", "mariadb"])
def store(request):
    url = "memory://" if request.param == "memory" else request.getfixturevalue(f"{request.param}_url")
    storage = open_storage(url)
    yield open_tokens(storage)
    storage.close()


def token(**fields):
    return replace(Token(new_id(), "laptop", "ann", CallerKind.USER, frozenset({Role.USER}), NOW), **fields)


def test_a_token_comes_back_as_it_was_added_until_it_is_removed(store):
    whole = token(
        kind=CallerKind.SERVICE,
        roles=frozenset({Role.ADMIN, Role.VIEWER}),
        groups=frozenset({"team-a", "b"}),
        expires_at=NOW + timedelta(days=1),
        last_used_at=NOW,
    )
    bare = token(roles=frozenset())
    store.add(whole, "a" * 64)
    store.add(bare, "b" * 64)
    assert store.find(whole.id) == (whole, "a" * 64)
    assert store.find(bare.id) == (bare, "b" * 64)
    assert store.find("a000000000000000") is None
    store.remove(whole.id)
    store.remove(whole.id)
    assert store.find(whole.id) is None


def test_tokens_are_listed_by_owner_and_page(store):
    tokens = sorted((token(owner=owner) for owner in ["ann"] * 5 + ["bob"] * 2), key=lambda t: t.id)
    for one in tokens:
        store.add(one, "")
    assert store.list_tokens("", "", 100) == tokens
    assert store.list_tokens("", tokens[2].id, 3) == tokens[3:6]
    assert store.list_tokens("ann", "", 100) == [t for t in tokens if t.owner == "ann"]
    assert store.list_tokens("carl", "", 100) == []


def test_when_it_was_used_is_noted(store):
    one = token()
    store.add(one, "")
    store.used(one.id, NOW + timedelta(hours=1))
    store.used("a000000000000000", NOW)
    assert store.find(one.id)[0] == replace(one, last_used_at=NOW + timedelta(hours=1))
