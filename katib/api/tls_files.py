"""Certificates and keys as files: read, checked, and read again when they change.

gRPC takes bytes and says of bad ones that it "failed to bind"; what is wrong with which file is said here, before. At the start
that is an error. Later the last good files stay in use and a warning says why: whoever renews certificates may have replaced
one file and not yet the other, and a process that served goes on serving.
"""

import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

from katib.domain.errors import InvalidArgumentError, KatibError

_log: Final = logging.getLogger(__name__)

# Files are looked at when somebody connects, and by servers also in between, so that their log does not wait for a call.
_LOOK_S: Final = 1.0
WATCH_S: Final = 10.0
# Renewal is due long before: cert-manager renews when a third of the time is left.
_SOON: Final = 0.1
_BEGIN_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_END_KEY: Final = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Pair:
    """What a process shows of itself, in PEM: its certificate with those between it and its authority, and the key."""

    certificates: bytes
    key: bytes
    not_before: datetime
    not_after: datetime


def read_pair(certificate: str, key: str, options: tuple[str, str]) -> Pair:
    """Reads and checks two files; `options` are what the user gave them by. Raises InvalidArgumentError."""
    option, key_option = options
    for _ in range(3):
        chain = _read(option, certificate)
        if _BEGIN_CERTIFICATE not in chain:
            raise InvalidArgumentError.of(option, certificate, "expected a certificate in PEM: it has none in it")
        private = _read(key_option, key)
        if _END_KEY not in private:
            raise InvalidArgumentError.of(key_option, key, "expected a private key in PEM: it has none in it")
        problem = _load(certificate, key, options)
        # What was checked is what was read only if nobody wrote in between.
        if chain == _read(option, certificate) and private == _read(key_option, key):
            break
    if problem is not None:
        raise problem
    not_before, not_after = validity(_first(option, certificate, chain))
    _check_time(option, certificate, not_before, not_after)
    return Pair(chain, private, not_before, not_after)


def read_authorities(option: str, source: str) -> bytes:
    """Certificates of authorities from a file, or from the text itself. Raises InvalidArgumentError."""
    text = source.encode() if is_pem(source) else _read(option, source)
    shown = "the text given" if is_pem(source) else source
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text.decode("ascii", "ignore"))
        times = [validity(ssl.PEM_cert_to_DER_cert(part)) for part in certificates_in(text)]
    except (OSError, ValueError) as error:
        raise InvalidArgumentError.of(
            option, shown, f"expected certificates of authorities in PEM ({_reason(error)})"
        ) from None
    if times and all(after < datetime.now(UTC) for _, after in times):
        last = max(after for _, after in times)
        raise InvalidArgumentError.of(option, shown, f"expected authorities that are still valid: expired on {last:%F}")
    return text


def is_pem(source: str) -> bool:
    """Whether it is the certificates themselves, and not where they are: so a trial's environment brings them."""
    return source.lstrip().startswith(_BEGIN_CERTIFICATE.decode())


def certificates_in(text: bytes) -> list[str]:
    """Each certificate of a PEM file, without what stands between them."""
    end = "-----END CERTIFICATE-----"
    begin = _BEGIN_CERTIFICATE.decode()
    parts = text.decode("ascii", "ignore").split(begin)[1:]
    return [f"{begin}{part.partition(end)[0]}{end}\n" for part in parts if end in part]


def validity(der: bytes) -> tuple[datetime, datetime]:
    """From when until when a certificate is valid (RFC 5280, 4.1: the fifth element of its first part, after the version).

    Python's `ssl` tells this only of a certificate that the other side has shown and that was found to be good. Raises
    ValueError for what is not a certificate.
    """
    _, body, _ = _element(der, 0)
    _, at, _ = _element(der, body)
    tag, _, after = _element(der, at)
    # The version may be missing; serial number, algorithm and issuer are there always.
    for _ in range(4 if tag == 0xA0 else 3):
        at = after
        _, _, after = _element(der, at)
    if tag != 0xA0:
        at = after
    _, at, _ = _element(der, at)
    _, _, second = _element(der, at)
    return _time(der, at), _time(der, second)


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """An element's tag, where its content begins, and where it ends."""
    try:
        tag, length = der[at], der[at + 1]
        begin = at + 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(der[begin : begin + count])
            begin += count
    except IndexError:
        raise ValueError("not a certificate") from None
    if begin + length > len(der):
        raise ValueError("not a certificate")
    return tag, begin, begin + length


def _time(der: bytes, at: int) -> datetime:
    tag, begin, end = _element(der, at)
    text = der[begin:end].decode("ascii", "replace")
    if tag == 0x17:  # UTCTime: years of two digits, from 1950 on
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _read(option: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise InvalidArgumentError.of(option, path, f"expected a file that can be read: {error.strerror}") from None


def _load(certificate: str, key: str, options: tuple[str, str]) -> InvalidArgumentError | None:
    """What OpenSSL finds wrong with the two."""
    try:
        # With a passphrase asked for, this program would wait for somebody at a terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = _reason(error)
        if "KEY_VALUES_MISMATCH" in reason:
            return InvalidArgumentError.of(options[1], key, f"expected the key of the certificate {certificate}")
        return InvalidArgumentError.of(
            options[1], key, f"expected a certificate and its key in PEM, without a passphrase ({reason})"
        )
    return None


def _first(option: str, path: str, chain: bytes) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(certificates_in(chain)[0])
    except (IndexError, ValueError):
        raise InvalidArgumentError.of(option, path, "expected a whole certificate in PEM") from None


def _check_time(option: str, path: str, not_before: datetime, not_after: datetime) -> None:
    now = datetime.now(UTC)
    if now > not_after:
        raise InvalidArgumentError.of(
            option, path, f"expected a certificate that is valid: expired at {not_after:%F %T}Z"
        )
    if now + timedelta(minutes=5) < not_before:
        raise InvalidArgumentError.of(
            option, path, f"expected a certificate that is valid: it will be from {not_before:%F %T}Z on"
        )


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


Material = TypeVar("Material")
_Stamp = tuple[tuple[int, int, int] | None, ...]


class Reloaded(Generic[Material]):
    """What files hold, read again after they changed. Safe from any thread."""

    def __init__(
        self, load: Callable[[], Material], paths: Sequence[str], pair_of: Callable[[Material], Pair | None]
    ) -> None:
        """Raises the InvalidArgumentError that `load` does. `pair_of`: whose end is warned of."""
        self._load = load
        self._paths = tuple(paths)
        self._pair_of = pair_of
        self._lock = threading.Lock()
        self._stamp = self._stamps()
        self._material = load()
        self._looked = time.monotonic()
        self._failed: _Stamp | None = None
        self._complained: _Stamp | None = None
        self._warned: tuple[datetime, bool] | None = None
        self.version = 0

    def current(self) -> tuple[Material, int]:
        """With a number that grows whenever it is another. Never raises: what cannot be used is not taken over."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= _LOOK_S:
                self._looked = now
                self._look()
            return self._material, self.version

    def watch(self) -> None:
        """Looks by itself from now on."""
        threading.Thread(target=self._watch, name="tls-files", daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.current()
            time.sleep(WATCH_S)

    def _look(self) -> None:
        stamp = self._stamps()
        if stamp != self._stamp:
            try:
                material = self._load()
            except KatibError as error:
                self._complain(stamp, error)
            else:
                self._material, self._stamp = material, stamp
                self.version += 1
                pair = self._pair_of(material)
                until = {"valid_until": f"{pair.not_after:%FT%TZ}"} if pair else {}
                _log.info("TLS files have changed and are in use", extra={"files": " ".join(self._paths), **until})
        self._warn_of_end()

    def _complain(self, stamp: _Stamp, error: KatibError) -> None:
        if self._failed != stamp:
            # Perhaps between two files of which one has come.
            self._failed = stamp
        elif self._complained != stamp:
            self._complained = stamp
            _log.warning(
                "TLS files have changed and cannot be used; those from before stay in use until they are mended: %s",
                error.message,
            )

    def _warn_of_end(self) -> None:
        pair = self._pair_of(self._material)
        if pair is None:
            return
        left = pair.not_after - datetime.now(UTC)
        ended = left < timedelta(0)
        if left > (pair.not_after - pair.not_before) * _SOON or self._warned == (pair.not_after, ended):
            return
        self._warned = pair.not_after, ended
        _log.warning(
            "the TLS certificate %s at %s: renew it; it is taken up without a restart",
            "has expired" if ended else "expires",
            f"{pair.not_after:%F %T}Z",
            extra={"files": " ".join(self._paths)},
        )

    def _stamps(self) -> _Stamp:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
