"""Hostile inputs: texts, numbers, bytes and messages that somebody might send to do harm, or by mistake."""

import struct
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# What must never come out of a page, a header or a terminal as it went in.
MARKUP: Final = "<script>katib1</script>"
HEADER: Final = "x-injected"

TEXTS: Final = (
    "",
    " ",
    "a",
    "0",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "9" * 400,
    "0x10",
    "1_000",
    "١٢",
    "None",
    "null",
    "true",
    "\0",
    "a\0b",
    "\n",
    "a\nb",
    "\r\n",
    f"a\r\n{HEADER}: 1",
    f"a\r\n\r\n{MARKUP}",
    "\t",
    "\x1b[2J\x1b]0;title\x07",
    "\x1b]8;;http://example.org\x07link\x1b]8;;\x07",
    "\x9b31m",
    "\x08\x08\x08",
    "\x7f",
    "\u202eevil",
    "\u2028",
    "\ufeff",
    "\U0001f600",
    "\U0001f600" * 255,
    "e\u0301" * 50,
    "ﷺ" * 100,
    "İ",
    MARKUP,
    f'"{MARKUP}',
    "'><img src=x onerror=alert(1)>",
    "{{7*7}}",
    "{% raw %}",
    "${jndi:ldap://x}",
    "javascript:alert(1)",
    "';DROP TABLE studies;--",
    "' OR '1'='1",
    '" OR ""="',
    "%",
    "_",
    "%s%s%s%n",
    "{0}{algorithm}",
    "{algorithm}",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "a/b",
    "a\\b",
    "C:\\x",
    "~root",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "| touch pwned",
    "&& touch pwned",
    "--help",
    "-",
    "=cmd|'/c calc'!A0",
    "@SUM(1+1)",
    "+1+1",
    "localhost:1",
    "unix:/tmp/x",
    "http://127.0.0.1:1/",
    "x" * 63,
    "x" * 64,
    "x" * 128,
    "x" * 129,
    "x" * 255,
    "x" * 256,
    "x" * 1001,
    "x" * 70_000,
    "a1b2c3d4e5f60718",
    "a" * 16,
    "A1B2C3D4E5F60718",
    "random",
    "medianstopping",
    "all",
    "best:0",
    "best:99999999999999999999",
    "(" * 500,
    "(?P<value>" * 3,
    "(?P<value>(a*)*)*b",
    "(?P<value>[0-9]{1,1000}){1000}",
    "[[:digit:]]",
    "{" * 2000,
    "[" * 2000,
    '{"a":' * 1000,
    '{"spec": {}}',
    '{"spec": {"containers": [{"name": "x", "securityContext": {"privileged": true}}]}}',
    "AAAAAAAAAAAAW10",
    "d" * 2000,
)
INTS: Final = (0, 1, -1, 2, 3, 7, 100, 1000, 2**31 - 1, -(2**31), 2**31, 2**32, 2**53, 2**63 - 1, -(2**63), 10**9)
FLOATS: Final = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-320, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 1e16)

Hints = Mapping[str, Sequence[Any]]


def text(rnd: Random) -> str:
    kind = rnd.random()
    if kind < 0.7:
        return rnd.choice(TEXTS)
    if kind < 0.8:
        return rnd.choice(TEXTS) + rnd.choice(TEXTS)
    if kind < 0.9:
        word = list(rnd.choice(TEXTS)[:200]) or ["a"]
        word[rnd.randrange(len(word))] = chr(_code(rnd))
        return "".join(word)
    return "".join(chr(_code(rnd)) for _ in range(rnd.choice((1, 3, 20, 300))))


def _code(rnd: Random) -> int:
    """Of any character but half of a surrogate pair."""
    code = rnd.choice((rnd.randrange(0x20), rnd.randrange(0x80), rnd.randrange(0x3000), rnd.randrange(0x110000)))
    return code if not 0xD800 <= code < 0xE000 else 0x41


def data(rnd: Random) -> bytes:
    if rnd.random() < 0.5:
        return text(rnd).encode()
    return rnd.randbytes(rnd.choice((0, 1, 2, 10, 100, 5000)))


def mutated(rnd: Random, good: bytes) -> bytes:
    """With a few bytes changed, cut out, doubled or put in."""
    found = bytearray(good)
    for _ in range(rnd.choice((1, 1, 2, 5, 20))):
        at = rnd.randrange(len(found) + 1)
        match rnd.randrange(5):
            case 0 if at < len(found):
                found[at] ^= 1 << rnd.randrange(8)
            case 1:
                del found[at : at + rnd.choice((1, 2, 8, 100))]
            case 2:
                found[at:at] = found[at : at + rnd.choice((1, 8, 100))]
            case 3:
                found[at:at] = rnd.randbytes(rnd.choice((1, 4, 9)))
            case _:
                found[at : at + 8] = struct.pack("<q", rnd.choice(INTS[:-1]))[: rnd.choice((1, 4, 8))]
    return bytes(found[:200_000])


def generated(rnd: Random, message: Message, hints: Hints, depth: int = 0) -> Message:
    """The message, with any of its fields set to anything."""
    fields = message.DESCRIPTOR.fields
    for field in fields:
        if rnd.random() < (0.6 if len(fields) < 8 else 0.25):
            _set(rnd, message, field, hints, depth)
    return message


def disturbed(rnd: Random, message: Message, hints: Hints) -> Message:
    """An honest message with one to three fields, at any depth, made hostile."""
    for _ in range(rnd.choice((1, 1, 1, 2, 3))):
        at: Message = message
        depth = 0
        while True:
            field = rnd.choice(at.DESCRIPTOR.fields) if at.DESCRIPTOR.fields else None
            if field is None:
                break
            inner = _inner(rnd, at, field)
            if inner is not None and rnd.random() < 0.85:
                at, depth = inner, depth + 1
                continue
            if rnd.random() < 0.1:
                at.ClearField(field.name)
            else:
                _set(rnd, at, field, hints, depth)
            break
    return message


def _inner(rnd: Random, message: Message, field: FieldDescriptor) -> Message | None:
    if field.type != FieldDescriptor.TYPE_MESSAGE or field.message_type.GetOptions().map_entry:
        return None
    if field.is_repeated:
        many = getattr(message, field.name)
        return rnd.choice(many) if many else None
    return getattr(message, field.name) if message.HasField(field.name) else None


def _set(rnd: Random, message: Message, field: FieldDescriptor, hints: Hints, depth: int) -> None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if field.message_type.GetOptions().map_entry:
            for _ in range(rnd.choice((1, 2, 5))):
                getattr(message, field.name)[text(rnd)[:2000]] = text(rnd)
        elif depth > 4:
            return
        elif field.is_repeated:
            for _ in range(rnd.choice((1, 1, 2, 3, 30 if depth < 2 else 3))):
                generated(rnd, getattr(message, field.name).add(), hints, depth + 1)
        else:
            getattr(message, field.name).SetInParent()
            generated(rnd, getattr(message, field.name), hints, depth + 1)
        return
    value = _value(rnd, field, hints)
    if field.is_repeated:
        more = rnd.choice((1, 2, 3, 3, 50, 2000)) if rnd.random() < 0.2 else 1
        getattr(message, field.name).extend([value() for _ in range(more)])
    else:
        setattr(message, field.name, value())


def _value(rnd: Random, field: FieldDescriptor, hints: Hints) -> Callable[[], Any]:
    known = hints.get(field.name)
    if known and rnd.random() < 0.8:
        return lambda: rnd.choice(known)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return (lambda: data(rnd)) if field.type == FieldDescriptor.TYPE_BYTES else (lambda: text(rnd))
        case FieldDescriptor.CPPTYPE_BOOL:
            return lambda: rnd.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return lambda: rnd.choice(FLOATS)
        case FieldDescriptor.CPPTYPE_ENUM:
            return lambda: rnd.choice((0, 1, 2, 3, 4, 5, 120, 7, -1, 2**31 - 1))
        case FieldDescriptor.CPPTYPE_INT32:
            return lambda: rnd.choice([n for n in INTS if -(2**31) <= n < 2**31])
        case _:
            return lambda: rnd.choice(INTS)
