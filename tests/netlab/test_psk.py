"""Pre-shared keys from an inventory to a session: real processes, with the files that are generated."""

from __future__ import annotations

import signal
from pathlib import Path

from netlab.configuration import configure, load
from netlab.lab import Files, Laboratory
from netlab.topology import SERVER
from rustun.config.keys import new_private_key, new_psk, public_key_of
from rustun.ops.filenames import psk_file
from rustun.ops.keyfiles import write_key
from tests.netlab.own_world import in_own_world

FLEET = """
[fleet]
name = "careful"
servers = [{{ address = "203.0.113.9:9000" }}]
psk = true
[cluster.pair]
network = "10.0.1.0/24"
[cluster.pair.member.first]
[cluster.pair.member.second]
public_key = "{public}"
"""


@in_own_world
def test_a_session_needs_the_same_pre_shared_key_on_both_sides(tmp_path: Path) -> None:
    """Members with `psk = true` could not come in, or would come in without the key that protects what was recorded."""
    source = tmp_path / "careful.toml"
    source.write_text(FLEET.format(public=public_key_of(new_private_key())))
    made = configure(source, load(source), tmp_path / "careful")
    lab = Laboratory(made.spec, Files(made.folder, tmp_path / "logs", Path("/run/careful")))
    lab.start()
    psk = made.folder / psk_file("first")
    psk.unlink()
    write_key(psk, new_psk())
    lab.processes[SERVER].signal(signal.SIGHUP)
    log = tmp_path / "logs" / "server.log"
    lab.wait_until(lambda: "before it proved its keys" in log.read_text(), "a client with another key is not told")
    assert (lab.status(SERVER) or {})["online"] == 1
    lab.processes["first"].signal(signal.SIGHUP)
    lab.wait_online()
    lab.prove_tunnels()
    assert lab.close() == []
