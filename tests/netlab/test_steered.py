"""One rustun steers another: two real servers, a client that is let in and put out by the one it never speaks with."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netlab.worlds.running import KEY, PORT, SERVER, Running, Site
from rustun.config.keys import new_private_key, public_key_of
from tests.netlab.accounts import ID, NAME, add_account
from tests.netlab.private_namespace import in_private_namespace

STEERING = f"http://{SERVER}:9080"
TOKENS = {"read": "reading-token-of-this-test-0000000", "manage": "management-token-of-this-test-000"}
SERVER_TOML = """
[server_config]
listen_addr = "{address}"
user = "{user}"
[crypto_config]
chacha20poly1305_file = "shared.key"
[route_config]
routes_file = "routes.json"
"""
DASHBOARD = f"""
[dashboard_config]
listen = "{SERVER}:9080"
token_file = "read.token"
management_token_file = "manage.token"
"""
CONF_AGENT = f"""
[conf_agent]
control_plane_url = "{STEERING}"
api_token_file = "read.token"
poll_interval = 1
report_interval = 1
"""
STEP_S = 0.05  # between two questions to a program that answers, and tells nothing by itself
PATIENCE_S = 20.0


def member(identity: str, number: int, **more: object) -> dict[str, object]:
    """Return an entry."""
    told = {"cluster": "beijing", "identity": identity, "private_ip": f"10.0.1.{number}", "mask": "255.255.255.0"}
    return {**told, **more}


def serve(site: Site, name: str, address: str, more: str, members: Sequence[dict[str, object]]) -> Running:
    """Start a server at the far side, in a folder that is its user's, and its web process with it."""
    folder = site.folder / name
    folder.mkdir()
    (folder / "server.toml").write_text(SERVER_TOML.format(address=address, user=NAME) + more)
    (folder / "routes.json").write_text(json.dumps(members))
    (folder / "shared.key").write_text(f"{KEY}\n")
    for right, token in TOKENS.items():
        (folder / f"{right}.token").write_text(f"{token}\n")
    for file in (folder, *folder.iterdir()):
        os.chown(file, ID, ID)
        file.chmod(0o755 if file.is_dir() else 0o600)
    return site.keep(Running(name, folder, ["serve"], site.far))


def ask(site: Site, right: str, method: str, path: str) -> Any:
    """Return what the steering server answers."""

    def work() -> Any:
        headers = {"Authorization": f"Bearer {TOKENS[right]}"}
        request = urllib.request.Request(STEERING + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    return site.far.run(work)


def reported(site: Site, steering: Running) -> list[dict[str, object]]:
    """Return who is connected, as the steering server is told, once somebody is."""
    until = time.monotonic() + PATIENCE_S
    ended = os.pidfd_open(steering.process.pid)
    try:
        while not (found := ask(site, "read", "GET", "/api/sync/connections")):
            assert time.monotonic() < until, "nobody is reported"
            assert not select.select([ended], (), (), STEP_S)[0], steering.account()
    finally:
        os.close(ended)
    assert isinstance(found, list)
    return found


def identities(folder: Path) -> list[str]:
    """Return whom a members' file names."""
    return [entry["identity"] for entry in json.loads((folder / "routes.json").read_text())]


@in_private_namespace
def test_one_rustun_steers_another() -> None:
    """Whoever is added or taken out at the control plane is not let in, or stays; or a key is lost on the way."""
    add_account()
    public_key = public_key_of(new_private_key())
    with Site() as site:
        os.umask(0o022)
        site.folder.chmod(0o755)
        steering = serve(site, "steering", f"{SERVER}:9000", DASHBOARD, [member("m0", 1), member("m1", 2)])
        steering.until_logged(f"listening on {STEERING}")
        theirs = [member("m1", 2, public_key=public_key), member("m9", 9)]
        steered = serve(site, "steered", f"{SERVER}:{PORT}", CONF_AGENT, theirs)
        steered.until(lambda status: {one["identity"] for one in status["offline"]} == {"m0", "m1"})
        client = site.connect("--retry-refused")
        client.until_online()
        [connection] = reported(site, steering)
        assert (connection["cluster_id"], connection["identity"]) == ("beijing", "m0")
        assert ask(site, "manage", "DELETE", "/api/clients/beijing/m0")["code"] == 200
        steered.until(lambda status: (status["members"], status["online"]) == (1, 0))
        client.until(lambda status: status["state"] != "online")
        assert identities(site.folder / "steering") == ["m1"]
        [kept] = json.loads((site.folder / "steered" / "routes.json").read_text())
        assert (kept["identity"], kept["public_key"]) == ("m1", public_key)
        assert steering.end(signal.SIGTERM) == 0
        steered.until_logged("the members stay as they were")
        assert identities(site.folder / "steered") == ["m1"]
