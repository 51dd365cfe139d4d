"""Importing a deployment: the inventory says the same, or it is said what it cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rustun.config.keys import Secret, new_private_key, new_psk, public_key_of
from rustun.config.routes import read_routes
from rustun.ops import exit_codes, importing
from rustun.ops.filenames import SHARED_KEY, psk_file
from rustun.ops.inventory import load_inventory
from rustun.ops.keyfiles import write_key
from rustun.ops.render import plan_render, write_plan
from rustun.ops.templating import render_routes
from rustun.protocol.tiers import Tier

KEY = "a key of the seed, 0123456789"
OWN = [public_key_of(new_private_key()), public_key_of(new_private_key())]
SEED: list[dict[str, Any]] = [  # as the seed's own examples are
    {
        "cluster": "beijing", "identity": "bj-office-gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
        "gateway": "10.0.1.254", "ciders": ["192.168.1.0/24", "192.168.2.0/24"],
    },
    {
        "cluster": "beijing", "identity": "bj-dev-server", "private_ip": "10.0.1.2", "mask": "255.255.255.0",
        "gateway": "10.0.1.254", "ciders": [],
    },
    {
        "cluster": "shanghai", "identity": "sh-office-gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
        "gateway": "10.0.1.1", "ciders": ["192.168.11.0/24"],
        "cider_mapping": {"192.168.11.0/24": "192.168.10.0/24"},
    },
]  # fmt: skip
OURS = {
    **SEED[1], "cluster": "tokyo", "identity": "tk \"é", "name": "Tōkyō", "private_ip6": "fd00:3::7/64",
    "public_key": OWN, "enabled": False, "expires_at": "2027-06-30T18:00:00Z",
}  # fmt: skip


def imported(folder: Path, entries: list[dict[str, Any]], server: str = "") -> tuple[int, Path]:
    """Import a routes.json, with a server.toml where one is given."""
    (folder / "routes.json").write_text(json.dumps(entries))
    server_toml = None
    if server:
        server_toml = folder / "server.toml"
        server_toml.write_text(server)
        server_toml.chmod(0o600)
    out = folder / "acme.toml"
    return importing.run(folder / "routes.json", server_toml, "vpn.example:8080", out, folder / "build"), out


def test_the_seeds_example_generates_an_equal_routes_json(tmp_path: Path) -> None:
    """Who moves from the seed would move members to other addresses, or lose their LANs."""
    code, out = imported(tmp_path, SEED)
    assert code == exit_codes.OK
    inventory = load_inventory(out)
    generated = json.loads(render_routes(inventory))
    for before, after in zip(SEED, generated, strict=True):
        for key in ("cluster", "identity", "private_ip", "mask", "ciders"):
            assert after[key] == before[key]
        assert after.get("cider_mapping") == before.get("cider_mapping")
        assert after["tier"] == "legacy"
    assert inventory.minimum_tier is Tier.LEGACY


def test_everything_that_an_entry_may_say_comes_along(tmp_path: Path) -> None:
    """A key, an expiry or a switched-off member would be forgotten, and somebody let in."""
    code, out = imported(tmp_path, [*SEED, OURS])
    assert code == exit_codes.OK
    entry = json.loads(render_routes(load_inventory(out)))[3]
    assert {key: entry[key] for key in OURS if key != "gateway"} == {k: v for k, v in OURS.items() if k != "gateway"}


def test_the_shared_key_moves_and_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every client of the old deployment would be shut out by a new key, or the old one stand in a log."""
    server = f'[server_config]\nlisten_addr = "0.0.0.0:9090"\n[crypto_config]\nchacha20poly1305 = "{KEY}"\n'
    code, out = imported(tmp_path, SEED, server + '[route_config]\nroutes_file = "routes.json"\n')
    assert code == exit_codes.OK
    secret = tmp_path / "build" / "acme" / "secrets" / "shared.key"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == (f"{KEY}\n", 0o600)
    inventory = load_inventory(out)
    assert (inventory.cipher, [str(one) for one in inventory.listen]) == ("chacha20", ["0.0.0.0:9090"])
    said = "".join(capsys.readouterr())
    assert KEY not in said + out.read_text()


@pytest.mark.parametrize("pairs", [1, 2])
def test_the_servers_own_keys_move_and_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pairs: int
) -> None:
    """Its members know the server by its key: with a new one all of them would be shut out."""
    private = [new_private_key() for _ in range(pairs)]
    for number, key in enumerate(private):
        write_key(tmp_path / f"own{number}.key", key)
    files = [f"own{number}.key" for number in range(pairs)]
    server = '[server_config]\nlisten_addr = "0.0.0.0:8080"\n[route_config]\nroutes_file = "routes.json"\n'
    server += f"[security_config]\nprivate_key_file = {json.dumps(files)}\n"
    code, out = imported(tmp_path, [OURS], server)
    assert code == exit_codes.OK
    rendered = plan_render(load_inventory(out), tmp_path / "build" / "acme")
    assert not any(name.endswith("server.key") for name in rendered.new_secrets)
    (relay,) = rendered.keyring.inventory.servers
    assert list(relay.public_keys) == [public_key_of(key) for key in private]
    said = capsys.readouterr()
    assert not any(key.reveal() in said.out + said.err + out.read_text() for key in private)


def test_the_dashboard_comes_along_with_its_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first deployment would switch a server's dashboard off, or log everybody out of it."""
    write_key(tmp_path / "read.token", Secret("a-token-of-the-old-deployment"))
    server = '[server_config]\nlisten_addr = "0.0.0.0:8080"\n[route_config]\nroutes_file = "routes.json"\n'
    write_key(tmp_path / "own.key", new_private_key())
    server += '[security_config]\nprivate_key_file = "own.key"\n[admin_config]\nmetrics_listen = "198.18.0.1:9101"\n'
    server += '[dashboard_config]\nlisten = "127.0.0.1:8081"\nhosts = ["vpn.example.org"]\ntoken_file = "read.token"\n'
    code, out = imported(tmp_path, [OURS], server)
    assert code == exit_codes.OK
    made = load_inventory(out)
    assert (list(map(str, made.dashboard)), made.dashboard_hosts) == (["127.0.0.1:8081"], ("vpn.example.org",))
    assert list(map(str, made.metrics)) == ["198.18.0.1:9101"]
    token = tmp_path / "build" / "acme" / "secrets" / "dashboard.token"
    assert token.read_text() == "a-token-of-the-old-deployment\n"
    assert "old-deployment" not in "".join(capsys.readouterr()) + out.read_text()


def test_what_an_inventory_has_no_word_for_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first deployment would end the audit log and shut the managers out, and another cipher be spoken."""
    write_key(tmp_path / "own.key", new_private_key())
    write_key(tmp_path / "manage.token", Secret("a-token-that-lets-change"))
    server = '[server_config]\nlisten_addr = "0.0.0.0:8080"\n[route_config]\nroutes_file = "routes.json"\n'
    server += '[security_config]\nprivate_key_file = "own.key"\ncipher = "aes256"\n'
    code, out = imported(tmp_path, [OURS], server)
    assert (code, capsys.readouterr().err, load_inventory(out).cipher) == (exit_codes.OK, "", "aes256")
    out.unlink()
    server += '[admin_config]\naudit_file = "audit.jsonl"\n[limit_config]\npending_connections = 7\n'
    server += '[dashboard_config]\nmanagement_token_file = "manage.token"\n'
    assert imported(tmp_path, [OURS], server)[0] == exit_codes.OK
    said = capsys.readouterr().err
    keys = "admin_config.audit_file, limit_config.pending_connections, dashboard_config.management_token_file"
    assert said.endswith(f"and a deployment takes them out: {keys}\n")
    assert "lets-change" not in said


def test_a_dry_run_shows_the_inventory_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who only wanted to look would have an inventory, and keys in secrets/."""
    (tmp_path / "routes.json").write_text(json.dumps([OURS]))
    out, build = tmp_path / "acme.toml", tmp_path / "build"
    assert importing.run(tmp_path / "routes.json", None, "vpn.example:8080", out, build, dry=True) == exit_codes.OK
    shown = capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["routes.json"]
    assert importing.run(tmp_path / "routes.json", None, "vpn.example:8080", out, build) == exit_codes.OK
    assert out.read_text() == shown


def test_a_servers_key_that_stays_behind_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """gen-config would make a new one, and nobody would know why all members are out."""
    assert imported(tmp_path, [OURS])[0] == exit_codes.OK
    assert "acme/secrets/server.key before ./invoke gen-config makes a new one" in capsys.readouterr().err
    (tmp_path / "acme.toml").unlink()
    assert imported(tmp_path, SEED)[0] == exit_codes.OK
    assert capsys.readouterr().err == ""


def test_a_time_of_another_zone_stays_the_same_moment(tmp_path: Path) -> None:
    """A member would stay in for hours after its time, or be cut off hours before."""
    code, out = imported(tmp_path, [{**OURS, "expires_at": "2027-06-30T18:00:00+08:00"}])
    assert code == exit_codes.OK
    assert json.loads(render_routes(load_inventory(out)))[0]["expires_at"] == "2027-06-30T10:00:00Z"


def with_psk(folder: Path, entry: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return an entry with a pre-shared key in a file, and the file's text."""
    psk = new_psk()
    write_key(folder / "old.psk", psk)
    return {**entry, "psk_file": "old.psk"}, f"{psk.reveal()}\n"


def test_a_pre_shared_key_moves_and_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A member would be shut out by a new key, or come in without the one that it has."""
    entry, text = with_psk(tmp_path, OURS)
    code, out = imported(tmp_path, [*SEED, entry])
    assert code == exit_codes.OK
    folder = tmp_path / "build" / "acme"
    [psk] = (folder / "secrets" / "psks").iterdir()
    assert (psk.read_text(), psk.stat().st_mode & 0o777) == (text, 0o600)
    assert "secrets/psks" not in " ".join((made := plan_render(load_inventory(out), folder)).new_secrets)
    write_plan(made)
    assert text == f"{read_routes(folder / 'routes.json').members[3].psk.reveal()}\n"  # type: ignore[union-attr]
    assert text.strip() not in "".join(capsys.readouterr()) + out.read_text()


def test_a_pre_shared_key_that_nobody_uses_stays_behind(tmp_path: Path) -> None:
    """An entry of a lower tier could not be imported, or would be lifted to the key tier."""
    entry, _ = with_psk(tmp_path, SEED[0])
    code, out = imported(tmp_path, [entry])
    assert (code, "psk" in out.read_text(), (tmp_path / "build").exists()) == (exit_codes.OK, False, False)


@pytest.mark.parametrize("which", ["shared.key", "psks"])
def test_another_key_that_is_there_stops_an_import(
    tmp_path: Path, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The inventory would be said to generate the same, and shut out everybody who has the key that was in use."""
    entry, _ = with_psk(tmp_path, OURS)
    name = psk_file(entry["identity"]) if which == "psks" else SHARED_KEY
    (tmp_path / "build" / "acme" / name).parent.mkdir(parents=True)
    write_key(tmp_path / "build" / "acme" / name, new_psk())
    server = f'[server_config]\nlisten_addr = "0.0.0.0:9090"\n[crypto_config]\nchacha20poly1305 = "{KEY}"\n'
    code, out = imported(tmp_path, [*SEED, entry], server + '[route_config]\nroutes_file = "routes.json"\n')
    assert (code, out.exists()) == (exit_codes.BAD_INPUT, False)
    assert f"{name} holds another key\n  nothing is overwritten" in capsys.readouterr().err
    assert len([path for path in (tmp_path / "build").rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("entries", "server", "said"),
    [
        ([SEED[0], {**SEED[1], "private_ip": "10.9.1.2"}], "", "cluster beijing has members in several networks"),
        ([{**SEED[0], "private_ip6": "fd00::1/64"}, SEED[1]], "", "has IPv6 addresses for some of its members"),
        ([SEED[0], SEED[0]], "", "bj-office-gw"),
        (SEED, 'crypto_config = "plain"\n', "which protects nothing"),
        ([{**SEED[0], "private_ip": "10.0.1.0"}], "", "import: an inventory cannot say it: cluster.beijing.member"),
    ],
)
def test_what_an_inventory_cannot_say_is_refused_with_a_reason(
    tmp_path: Path, entries: list[dict[str, Any]], server: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An import would succeed, and the fleet be another one."""
    if server:
        server += '[server_config]\nlisten_addr = "0.0.0.0:9090"\n[route_config]\nroutes_file = "routes.json"\n'
    code, out = imported(tmp_path, entries, server)
    assert code == exit_codes.BAD_INPUT
    assert said in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"192.168.2.0/24"', '"192.168.3.0/24"', "ciders would be ['192.168.1.0/24', '192.168.3.0/24'], not"),
        ("bj-dev-server", "bj-dev", 'member "bj-dev-server" (cluster beijing) is missing'),
        ('[cluster."shanghai".member."sh-office-gw"]', "[cluster.shanghai.member.more]\n{}", "more would be new"),
    ],
)
def test_an_inventory_that_would_generate_something_else_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    """A slip of the import would be deployed: a member with another LAN, another name, or more than there were."""
    text_of = importing.inventory_text
    monkeypatch.setattr(importing, "inventory_text", lambda source: text_of(source).replace(old, new.format(old)))
    code, out = imported(tmp_path, SEED)
    assert (code, out.exists()) == (exit_codes.BAD_INPUT, False)
    assert said in capsys.readouterr().err


def test_nothing_that_is_there_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second import would undo a year of edits."""
    imported(tmp_path, SEED)
    before = (tmp_path / "acme.toml").read_text()
    code, out = imported(tmp_path, SEED[:1])
    assert (code, out.read_text()) == (exit_codes.BAD_INPUT, before)
    assert "is there already" in capsys.readouterr().err
