"""`rustun` with a defect that says all it knows, at its first reload.

python -m tests.netlab.broken_rustun serve|connect ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from unittest.mock import patch

from rustun.cli.commands import main
from rustun.client.client import TunnelClient
from rustun.relay.server import RelayServer

Role = TypeVar("Role", RelayServer, TunnelClient)


def once_badly(whole: Callable[[Role], None]) -> Callable[[Role], None]:
    """Return what stands for `reload`."""
    done: list[Role] = []

    def reload(role: Role) -> None:
        if done:
            whole(role)
            return
        done.append(role)
        raise ArithmeticError(f"a defect for a test: {role.config}")

    return reload


if __name__ == "__main__":
    server = patch.object(RelayServer, "reload", once_badly(RelayServer.reload))
    with server, patch.object(TunnelClient, "reload", once_badly(TunnelClient.reload)):
        main(prog_name="rustun")
