"""Between the wire's messages and the domain's types: callers and their tokens."""

from katib.api import api_pb2 as pb
from katib.api.times import time_from_proto, time_to_proto
from katib.domain.caller import CallerKind, Role
from katib.domain.tokens import Token


def token_to_proto(token: Token) -> pb.Token:
    return pb.Token(
        token_id=token.id,
        name=token.name,
        owner=token.owner,
        kind=token.kind.value,
        roles=sorted(role.value for role in token.roles),
        groups=sorted(token.groups),
        create_time=time_to_proto(token.created_at),
        expire_time=time_to_proto(token.expires_at),
        last_use_time=time_to_proto(token.last_used_at),
    )


def token_from_proto(message: pb.Token) -> Token:
    return Token(
        id=message.token_id,
        name=message.name,
        owner=message.owner,
        kind=CallerKind(message.kind),
        roles=frozenset(map(Role, message.roles)),
        groups=frozenset(message.groups),
        created_at=time_from_proto(message.create_time),
        expires_at=time_from_proto(message.expire_time) if message.HasField("expire_time") else None,
        last_used_at=time_from_proto(message.last_use_time) if message.HasField("last_use_time") else None,
    )
