"""A manager that asks who calls, in this process, and callers of every kind over real gRPC."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from katib.api.client import ManagerClient
from katib.manager.server import Manager
from katib.manager.settings import Settings
from tests.e2e.harness import World, world


@dataclass
class Guarded:
    """`secrets`: what each caller shows."""

    world: World
    manager: Manager
    secrets: dict[str, str]

    def client(self, caller: str) -> ManagerClient:
        return ManagerClient(self.world.address, 30, token=self.secrets[caller])

    def token(self, name: str, *roles: str, owner: str = "", groups: tuple[str, ...] = (), **further: object) -> str:
        """A new token, made by the first administrator; kept under the name."""
        with self.client("bootstrap") as client:
            _, secret = client.create_token(name, owner or name, roles=roles, groups=groups, **further)  # type: ignore[arg-type]
        self.secrets[name] = secret
        return secret


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with world(tmp_path_factory.mktemp("auth")) as it:
        it.suggestion("random")
        manager = Manager(
            Settings(
                listen=it.address,
                http="",
                database=f"sqlite:///{it.folder}/katib.db",
                data=it.folder,
                suggestion_address=f"unix:{it.sockets}/s-{{algorithm}}",
                earlystopping_address=f"unix:{it.sockets}/e-{{algorithm}}",
                auth="tokens",
                bootstrap_token_file=it.folder / "bootstrap",
            )
        )
        manager.start()
        yield Guarded(it, manager, {"bootstrap": Path(it.folder / "bootstrap").read_text().strip(), "": ""})
        manager.stop()
