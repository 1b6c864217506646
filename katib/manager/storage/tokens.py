"""Page tokens: where a list goes on, and a check that the same list gave them out."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Final

from katib.domain.errors import InvalidArgumentError
from katib.manager.ports import StudyFilter, TrialFilter

_CHECK_BYTES: Final = 9
# A model's trial id may have 255 characters, each of which JSON may write as twelve.
_LONGEST: Final = 6000
_END_OF_NUMBERS: Final = 2**63

# Of what the keys of each list are made; those of trials depend on whose they are.
STUDY_KEY: Final = (int, str)
TRIAL_KEY: Final = (int, int, str)
TRIAL_OF_STUDY_KEY: Final = (int,)
OBSERVATION_KEY: Final = (int, int)
MODEL_KEY: Final = (str,)


def study_list(filter_: StudyFilter) -> Sequence[object]:
    """The name of Storage.list_studies with this filter."""
    return ["studies", filter_.name, filter_.id_prefix, sorted(s.value for s in filter_.states)]


def trial_list(filter_: TrialFilter) -> Sequence[object]:
    """The name of Storage.list_trials with this filter."""
    states = sorted(s.value for s in filter_.states)
    number = [filter_.number] if filter_.number else []
    return ["trials", filter_.study_id, filter_.id_prefix, states, filter_.newest_first, *number]


def observation_list(trial_id: str, attempt: int, names: Sequence[str]) -> Sequence[object]:
    """The name of Storage.list_observations with these arguments."""
    return ["observations", trial_id, attempt, sorted(names)]


def model_list(study_name: str) -> Sequence[object]:
    """The name of ModelStore.saved_models with this argument."""
    return ["models", study_name]


def make_token(list_: Sequence[object], key: Sequence[int | str]) -> str:
    """`list_` names the list and its filter; `key` is the sort key of the last item given out."""
    body = json.dumps(key, separators=(",", ":")).encode()
    return urlsafe_b64encode(_check(list_, body) + body).rstrip(b"=").decode()


def read_token(list_: Sequence[object], token: str, kinds: Sequence[type[int] | type[str]]) -> list[Any]:
    """The key in the token, which has values of these kinds. Raises InvalidArgumentError for anything that `make_token` could
    not have returned for this list."""
    try:
        if len(token) > _LONGEST:
            raise ValueError
        encoded = token.encode("ascii")
        raw = urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
        body = raw[_CHECK_BYTES:]
        # Encoded again: the decoder passes over characters that are none of the alphabet.
        if urlsafe_b64encode(raw).rstrip(b"=") != encoded or raw[:_CHECK_BYTES] != _check(list_, body):
            raise ValueError
        key = json.loads(body)
        # Anybody can compute the check: what stands behind it goes to the database, and is looked at all the same.
        if not isinstance(key, list) or len(key) != len(kinds):
            raise ValueError
        if not all(_is_of(kind, value) for kind, value in zip(kinds, key, strict=True)):
            raise ValueError
    except (ValueError, RecursionError):
        raise InvalidArgumentError.of(
            "page_token",
            token,
            "expected the next_page_token of a list with the same filter, or none for its beginning",
        ) from None
    found: list[Any] = key
    return found


def _is_of(kind: type[int] | type[str], value: object) -> bool:
    """Whether a key of the kind may be it: what fits into the column. Raises ValueError for text that is none."""
    if isinstance(value, str):
        value.encode()
    return type(value) is kind and (not isinstance(value, int) or abs(value) < _END_OF_NUMBERS)


def _check(list_: Sequence[object], body: bytes) -> bytes:
    # The body is under the hash too: a made-up key is no key. No secret: nothing is protected but the caller from itself.
    return hashlib.sha256(json.dumps(list_).encode() + b"\0" + body).digest()[:_CHECK_BYTES]
