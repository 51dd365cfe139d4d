"""What an inventory has its hosts agree to: gateways that work, exits that lead somewhere."""

from __future__ import annotations

from pathlib import Path

from rustun.errors import Problem
from rustun.ops.consent import host_config
from rustun.ops.inventory import load_inventory

HEAD = """
[fleet]
name = "f"
servers = [{ address = "192.0.2.1:8080" }]
[cluster.a]
network = "10.0.1.0/24"
"""


def read(folder: Path, members: str) -> tuple[dict[str, dict[str, object]], list[Problem]]:
    """Return [host_config] of each member, and the notes."""
    file = folder / "fleet.toml"
    file.write_text(HEAD + members)
    inventory = load_inventory(file)
    return {member.identity: host_config(member) for member in inventory.members}, list(inventory.notes)


def test_a_gateway_agrees_to_its_real_lans(tmp_path: Path) -> None:
    """A generated gateway would drop what comes for its LAN, or a member without one would agree to something."""
    found, notes = read(
        tmp_path,
        '[cluster.a.member.gw]\nciders = ["192.168.11.0/24", "fd00:a::/64"]\n'
        'cider_mapping = { "192.168.11.0/24" = "192.168.10.0/24" }\n[cluster.a.member.plain]\nmasquerade = true\n',
    )
    assert [str(prefix) for prefix in found["gw"].pop("gateway")] == ["192.168.10.0/24", "fd00:a::/64"]  # type: ignore[attr-defined]
    assert found["gw"].keys() == {"masquerade", "cider_mapping"}
    assert (found["gw"]["masquerade"], found["plain"], notes) == (False, {}, [])


def test_a_cluster_with_an_exit(tmp_path: Path) -> None:
    """An exit that a whole cluster uses would use itself, or its clients would refuse their files."""
    found, notes = read(
        tmp_path,
        'exit_node = "gw"\nkill_switch = true\n[cluster.a.member.gw]\nciders = ["0.0.0.0/0"]\noffer_exit = true\n'
        '[cluster.a.member.m]\n[cluster.a.member.n]\nexit_node = ""\nkill_switch = false\n',
    )
    assert found == {"gw": {"offer_exit": True}, "m": {"exit_node": "gw", "kill_switch": True}, "n": {}}
    assert notes == []


def test_exits_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    """An operator would look for the fault in the network."""
    _, notes = read(
        tmp_path,
        '[cluster.a.member.one]\nciders = ["0.0.0.0/0"]\n[cluster.a.member.two]\nciders = ["0.0.0.0/0"]\n'
        'offer_exit = true\n[cluster.a.member.three]\noffer_exit = true\n[cluster.a.member.m]\nexit_node = "three"\n',
    )
    assert {note.level for note in notes} == {"warning"}
    assert [note.reason for note in notes] == [
        "0.0.0.0/0 leads to this member, which drops what comes: it does not agree to be an exit",
        '0.0.0.0/0 is offered by "one" as well: the relay takes neither',
        "is agreed to, but no default route leads to this member",
        '"three" offers no default route',
    ]
