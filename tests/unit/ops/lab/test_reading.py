"""rustun.ops.lab: what `[lab]` says, as records."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.links.impairment import PRESETS, Impairment
from rustun.errors import ConfigError
from rustun.ops.inventory import load_inventory
from rustun.ops.lab.records import Lab
from rustun.protocol.tiers import Tier

FLEET = """\
[fleet]
name = "f"
servers = [{ address = "vpn.example.org:8080" }]
[cluster.a]
network = "10.0.1.0/24"
[cluster.a.member.gw]
ciders = ["192.168.1.0/24", "fd00:1::/64"]
[cluster.a.member.dev]
[cluster.a.member.db]
"""
MEMBERS = ("gw", "dev", "db")


def lab(folder: Path, text: str) -> Lab:
    """Read a fleet with a part for the laboratory."""
    (folder / "f.toml").write_text(FLEET + text)
    return load_inventory(folder / "f.toml").lab


def links(found: Lab) -> dict[tuple[str, str], tuple[Impairment, Impairment]]:
    """Return what each cable that is not plain does, there and back."""
    return {link.ends: (link.forth, link.back) for link in found.impaired(MEMBERS)}


def test_hosts_are_counted_from_the_first_address(tmp_path: Path) -> None:
    """Three printers would be one, or have addresses that nobody expects."""
    text = '[lab.host.p]\nbehind = "gw"\naddress = "192.168.1.7"\naddress6 = "fd00:1::7"\ncount = 3\n'
    hosts = lab(tmp_path, text).hosts
    assert [(host.name, str(host.address), str(host.address6)) for host in hosts] == [
        ("p-1", "192.168.1.7", "fd00:1::7"), ("p-2", "192.168.1.8", "fd00:1::8"), ("p-3", "192.168.1.9", "fd00:1::9"),
    ]  # fmt: skip


def test_what_is_written_of_a_link_holds_both_ways_and_one_way_wins(tmp_path: Path) -> None:
    """A slow way up would be slow down as well, or lose the delay that both ways have."""
    found = links(lab(tmp_path, '[lab.link.dev]\ndelay = "20ms"\nrate = "8mbit"\nup = { rate = "1mbit" }\n'))
    assert found == {
        ("dev", "server"): (
            Impairment(delay_s=0.02, rate_bit_s=1_000_000),
            Impairment(delay_s=0.02, rate_bit_s=8_000_000),
        )
    }


@pytest.mark.parametrize(("name", "outwards"), [("dev", 0.01), ("dev-server", 0.01), ("server-dev", 0.02)])
def test_up_leads_from_the_first_end_to_the_second(name: str, outwards: float, tmp_path: Path) -> None:
    """The same cable under its other name would be turned around."""
    text = f'[lab.link.{name}]\nup = {{ delay = "10ms" }}\ndown = {{ delay = "20ms" }}\n'
    ((ends, ways),) = links(lab(tmp_path, text)).items()
    assert ways[ends.index("dev")].delay_s == outwards


def test_a_preset_is_where_other_keys_start_from(tmp_path: Path) -> None:
    """A key beside a preset would take back the rest of it, or the preset the key."""
    found = links(lab(tmp_path, '[lab.link.dev]\npreset = "mobile"\nloss = "0%"\nburst = 1\n'))
    (forth, _) = found["dev", "server"]
    assert (forth.delay_s, forth.loss, forth.burst) == (PRESETS["mobile"].delay_s, 0.0, 1.0)


def test_the_preset_of_all_counts_once_on_the_way_to_the_relay(tmp_path: Path) -> None:
    """Who is behind a router would have the delay of its line twice, and a LAN would be slow."""
    text = (
        '[lab]\npreset = "wifi"\n[lab.nat.home]\nbefore = ["dev"]\n'
        '[lab.host.p]\nbehind = "gw"\naddress = "192.168.1.7"\n[lab.link.db]\npreset = "lan"\n'
    )
    assert set(links(lab(tmp_path, text))) == {("server", "gw"), ("server", "home")}


def test_routers_with_and_without_times(tmp_path: Path) -> None:
    """A mapping would be gone too early, or the wrong kind of router be rehearsed."""
    text = (
        '[lab.nat.home]\nbefore = "dev"\n'
        '[lab.nat.office]\nkind = "strict"\nbefore = ["home", "db"]\nudp_timeout = "30s"\ntcp_timeout = "5m"\n'
    )
    home, office = lab(tmp_path, text).nats
    assert (home.kind, home.before, home.udp_timeout_s, home.tcp_timeout_s) == ("moderate", ("dev",), 0, 0)
    assert (office.kind, office.before, office.udp_timeout_s, office.tcp_timeout_s) == (
        "strict",
        ("home", "db"),
        30,
        300,
    )


def test_a_matrix_keeps_the_order_of_writing(tmp_path: Path) -> None:
    """The laboratories of a matrix would change their names with every run."""
    text = '[lab.matrix]\nmtu = [1500, 1280]\ncipher = "aes256"\ntier = ["shared", "key"]\noffload = [false]\n'
    assert lab(tmp_path, text).matrix == (
        ("mtu", (1500, 1280)),
        ("cipher", ("aes256",)),
        ("tier", (Tier.SHARED, Tier.KEY)),
        ("offload", (False,)),
    )


def test_a_folder_may_have_the_laboratory_in_several_files(tmp_path: Path) -> None:
    """A site's printer could not stand beside its site."""
    (tmp_path / "a.toml").write_text(FLEET + '[lab.host.p]\nbehind = "gw"\naddress = "192.168.1.7"\n')
    (tmp_path / "b.toml").write_text('[lab]\npreset = "wifi"\n[lab.link.p]\ndelay = "1ms"\n')
    found = load_inventory(tmp_path).lab
    assert (found.preset, len(found.hosts), found.links[0].ends) == ("wifi", 1, ("p", "gw"))
    (tmp_path / "c.toml").write_text('[lab]\npreset = "lan"\n')
    with pytest.raises(ConfigError, match="stands in .*b.toml:1 as well"):
        load_inventory(tmp_path)
