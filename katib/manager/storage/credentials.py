"""`manager.tokens.TokenStore` beside each storage."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from katib.domain.tokens import Token
from katib.manager.ports import Storage
from katib.manager.storage.sql import api_tokens
from katib.manager.storage.sql.database import Database
from katib.manager.storage.sql.storage import SqlStorage
from katib.manager.tokens import TokenStore


def open_tokens(storage: Storage) -> TokenStore:
    return SqlTokens(storage.database) if isinstance(storage, SqlStorage) else MemoryTokens()


class MemoryTokens:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Token, str]] = {}

    def add(self, token: Token, digest: str) -> None:
        with self._lock:
            self._tokens[token.id] = token, digest

    def find(self, token_id: str) -> tuple[Token, str] | None:
        return self._tokens.get(token_id)

    def list_tokens(self, owner: str, after: str, limit: int) -> Sequence[Token]:
        with self._lock:
            tokens = sorted((token for token, _ in self._tokens.values()), key=lambda token: token.id)
        return [t for t in tokens if t.id > after and owner in ("", t.owner)][:limit]

    def remove(self, token_id: str) -> None:
        with self._lock:
            self._tokens.pop(token_id, None)

    def used(self, token_id: str, at: datetime) -> None:
        with self._lock:
            if token_id in self._tokens:
                token, digest = self._tokens[token_id]
                self._tokens[token_id] = replace(token, last_used_at=at), digest


class SqlTokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token, digest: str) -> None:
        self._database.write(lambda session: api_tokens.add(session, token, digest))

    def find(self, token_id: str) -> tuple[Token, str] | None:
        return self._database.read(lambda session: api_tokens.find(session, token_id))

    def list_tokens(self, owner: str, after: str, limit: int) -> Sequence[Token]:
        return self._database.read(lambda session: api_tokens.list_tokens(session, owner, after, limit))

    def remove(self, token_id: str) -> None:
        self._database.write(lambda session: api_tokens.remove(session, token_id))

    def used(self, token_id: str, at: datetime) -> None:
        self._database.write(lambda session: api_tokens.used(session, token_id, at))
