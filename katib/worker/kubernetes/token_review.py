"""Whose service account's token this is: the API server is asked by a TokenReview; its answer is remembered for a moment."""

import base64
import hashlib
import json
import threading
import time
from collections import OrderedDict
from typing import Any, Final

from katib.domain.errors import UnavailableError
from katib.worker.kubernetes.access import open_access
from katib.worker.kubernetes.api import Api, Asked

# A token whose account is gone is worthless within this time.
SEEN_WITHIN_S: Final = 10.0
_MOST: Final = 10_000
# So many questions are out at once, however many are shown tokens that are none.
_AT_ONCE: Final = 8
_TURN_S: Final = 5.0
_ANSWER_S: Final = 5.0
_LONGEST: Final = 16 * 1024
_ASKED: Final = Asked("create", "tokenreviews", "")
_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"

Account = tuple[str, frozenset[str]]


class TokenReviewer:
    """Safe from any thread. `audience`: whom a token must be for."""

    def __init__(self, api: Api, audience: str) -> None:
        self._api = api
        self._audience = audience
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[float, Account]] = OrderedDict()

    def review(self, token: str) -> Account | None:
        """The account's name (`system:serviceaccount:NAMESPACE:NAME`) and its groups; None for a token that is not good here.
        Raises UnavailableError when the API server cannot be asked."""
        # The API server would say no to these as well.
        if not self._may_be_good(token):
            return None
        key = hashlib.sha256(token.encode()).digest()
        asked_at = time.monotonic()
        with self._lock:
            known = self._known.get(key)
            if known is not None and asked_at < known[0]:
                self._known.move_to_end(key)
                return known[1]
        account = self._ask(token)
        with self._lock:
            self._known.pop(key, None)
            if account is not None:
                self._known[key] = asked_at + SEEN_WITHIN_S, account
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return account

    def _may_be_good(self, token: str) -> bool:
        """Whether it has the form of a service account's token, for us, that has not expired. Not whether it is signed."""
        claims = _claims(token)
        if claims is None:
            return False
        audiences, expires = claims.get("aud"), claims.get("exp")
        listed = audiences if isinstance(audiences, list) else [audiences]
        return self._audience in listed and isinstance(expires, int | float) and expires > time.time()

    def _ask(self, token: str) -> Account | None:
        if not self._turns.acquire(timeout=_TURN_S):
            raise UnavailableError("too many tokens wait to be checked by the Kubernetes API server: try again")
        try:
            answer = self._api.call(
                _ASKED,
                "POST",
                _PATH,
                body={
                    "apiVersion": "authentication.k8s.io/v1",
                    "kind": "TokenReview",
                    "spec": {"token": token, "audiences": [self._audience]},
                },
            )
        finally:
            self._turns.release()
        status = answer.get("status") or {}
        # An API server that knows no audiences leaves them out, and has looked at none.
        if status.get("authenticated") is not True or self._audience not in (status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        return str(user["username"]), frozenset(map(str, user.get("groups") or ()))


def open_reviewer(kubeconfig: str, context: str, audience: str) -> TokenReviewer:
    """Raises InvalidArgumentError when there is no way to an API server; nothing is asked of it yet."""
    return TokenReviewer(Api(open_access(kubeconfig, context), answer_s=_ANSWER_S), audience)


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST or not token.isascii():
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None
