"""docs/start.md from its first key to a ping: what stands there is typed on wired machines."""

from __future__ import annotations

import re
from pathlib import Path

from netlab.topology import SERVER
from tests.netlab.newcomer import DEV, OFFICE, SERVE, Newcomer
from tests.netlab.own_world import in_own_world

AT_ONCE = ("-c", "3", "-i", "0.01", "-W", "5")  # what a ping that nobody stops is given besides


@in_own_world
def test_a_newcomer_gets_there(tmp_path: Path) -> None:
    """Whoever types what the first document says would not have a tunnel in the end."""
    newcomer = Newcomer(tmp_path)
    newcomer.get_there()
    ping = newcomer.told("ping").split()
    assert " 0% packet loss" in newcomer.run(DEV, [*ping, *AT_ONCE])
    assert newcomer.lab.stop([DEV, OFFICE]) == newcomer.lab.stop([SERVER]) == []
    by_a_key_string(newcomer)
    assert newcomer.lab.close() == []
    assert newcomer.commands == []


def by_a_key_string(newcomer: Newcomer) -> None:
    """What the document says of one key string for everybody, with the other files as they are."""
    kept, _, _ = newcomer.server_toml.partition("[security_config]")
    newcomer.write(SERVER, "server.toml", kept + newcomer.without_keys, {})
    newcomer.write(SERVER, "routes.json", re.sub(r',\s*"public_key": "[^"]+"', "", newcomer.routes_json), {})
    newcomer.start(SERVER, SERVE)
    newcomer.start(DEV, newcomer.told("sudo rustun connect -s"))
    newcomer.lab.wait_until(lambda: (newcomer.lab.status(DEV) or {}).get("tier") == "shared", "bj-dev does not get in")
