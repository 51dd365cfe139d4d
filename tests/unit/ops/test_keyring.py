"""rustun.ops.keyring: who has which keys, in which files, through rotations, and what stays out of sight."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from rustun.config import load_client_config, load_server_config, read_routes
from rustun.config.client import ClientConfig
from rustun.config.keys import PrivateKey, encode_key, new_private_key, new_psk, public_key_of
from rustun.config.member import Member
from rustun.errors import ConfigError
from rustun.ops.inventory import load_inventory
from rustun.ops.keyfiles import write_key
from rustun.ops.render import RenderPlan, plan_render, write_plan
from rustun.protocol.tiers import Tier

FLEET = '[fleet]\nname = "f"\nservers = [{{ address = "a.example:1"{} }}]\n{}\n[cluster.c]\nnetwork = "10.0.0.0/24"\n'


def plan(folder: Path, members: str, server: str = "", fleet: str = "") -> RenderPlan:
    """Plan a fleet of these members for `folder`/out."""
    (folder / "fleet.toml").write_text(FLEET.format(server, fleet) + members)
    return plan_render(load_inventory(folder / "fleet.toml"), folder / "out")


def generate(folder: Path, members: str, server: str = "", fleet: str = "") -> RenderPlan:
    """Generate such a fleet's files."""
    made = plan(folder, members, server, fleet)
    write_plan(made)
    return made


def client(folder: Path, identity: str) -> ClientConfig:
    """Read a generated client file."""
    return load_client_config(folder / "out" / f"client-{identity}.toml")


def entries(folder: Path) -> dict[str, Member]:
    """Read the generated routes.json."""
    return {member.identity: member for member in read_routes(folder / "out" / "routes.json").members}


def secrets(folder: Path) -> set[str]:
    """Return the names of all key files."""
    base = folder / "out" / "secrets"
    return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}


def names(keys: tuple[PrivateKey, ...]) -> list[str]:
    """Return the names of the files that keys were read from."""
    return [key.file.name for key in keys]


def test_who_brings_a_public_key_keeps_the_private_one(tmp_path: Path) -> None:
    """A private key that nobody needs would be made here, or the member would look for one in the wrong place."""
    own, both = new_private_key(), [new_private_key(), new_private_key()]
    member = f'[cluster.c.member.m]\npublic_key = "{public_key_of(own)}"\n[cluster.c.member.n]\n'
    two = ", ".join(f'"{public_key_of(key)}"' for key in both)
    made = generate(tmp_path, member, f", public_key = [{two}]")
    assert secrets(tmp_path) == {"members/n.key"}
    assert made.keyring.kept_by_owners == {"client-m.key", "server.key", "server@2.key"}
    with pytest.raises(ConfigError, match=r"there is no key file .*client-m\.key"):
        client(tmp_path, "m")
    for name, key in (("client-m.key", own), ("server.key", both[0]), ("server@2.key", both[1])):
        (tmp_path / "out" / name).touch(0o600)
        (tmp_path / "out" / name).write_text(key.reveal())
    assert [encode_key(key) for key in entries(tmp_path)["m"].public_keys] == [public_key_of(own)]
    assert [key.public for key in client(tmp_path, "m").private_keys] == [public_key_of(own)]
    server = load_server_config(tmp_path / "out" / "server.toml")
    assert names(server.security.private_keys) == ["server.key", "server@2.key"]
    assert [encode_key(key) for key in client(tmp_path, "n").servers[0].public_keys] == list(map(public_key_of, both))
    assert plan(tmp_path, member, f", public_key = [{two}]").unknown == ()


def test_each_server_has_a_key_pair_of_its_own(tmp_path: Path) -> None:
    """Who takes one server over could speak as all of them, or clients would expect one server's key at another."""
    own = new_private_key()
    more = f' }}, {{ name = "hk", address = "b.example:2", public_key = "{public_key_of(own)}" }}, {{ address = "c:3"'
    made = generate(tmp_path, "[cluster.c.member.m]\n", more, 'server_key = [1, 2]\nminimum_tier = "key"')
    out = tmp_path / "out"
    assert [server.name for server in made.keyring.inventory.servers] == ["server", "hk", "server-3"]
    assert made.keyring.kept_by_owners == {"hk.key"}
    (out / "hk.key").touch(0o600)
    (out / "hk.key").write_text(own.reveal())
    served = [load_server_config(out / f"{name}.toml") for name in ("server", "hk", "server-3")]
    told = client(tmp_path, "m").servers
    for server, pinned in zip(served, told, strict=True):
        assert [key.public for key in server.security.private_keys] == [encode_key(key) for key in pinned.public_keys]
        assert {endpoint.port for endpoint in server.listen} == {pinned.endpoint.port}
    assert [names(server.security.private_keys) for server in served] == [
        ["server.key", "server@2.key"], ["hk.key"], ["server-3.key", "server-3@2.key"],
    ]  # fmt: skip
    assert len({key for server in told for key in server.public_keys}) == 5


def test_lower_tiers_are_said_and_have_the_shared_key(tmp_path: Path) -> None:
    """A member without a key pair would be shut out, or one that has a key pair could come in without it."""
    text = "[cluster.c.member.m]\n[cluster.c.member.s]\ntier = 'shared'\n[cluster.c.member.l]\ntier = 'legacy'\n"
    generate(tmp_path, text)
    assert secrets(tmp_path) == {"shared.key", "server.key", "members/m.key"}
    server = load_server_config(tmp_path / "out" / "server.toml")
    assert (server.security.minimum_tier, server.method) == (Tier.KEY, "aes256")
    told = {identity: (member.tier, len(member.public_keys)) for identity, member in entries(tmp_path).items()}
    assert told == {"m": (None, 1), "s": (Tier.SHARED, 0), "l": (Tier.LEGACY, 0)}
    assert [client(tmp_path, name).tier for name in ("m", "s", "l")] == [Tier.KEY, Tier.SHARED, Tier.LEGACY]
    assert client(tmp_path, "s").key == server.key
    assert client(tmp_path, "m").key is None


def test_a_public_key_wins_over_a_tier_that_is_inherited(tmp_path: Path) -> None:
    """A member with a key of its own would be left on the shared key of its cluster."""
    own = public_key_of(new_private_key())
    text = f'tier = "shared"\n[cluster.c.member.m]\npublic_key = "{own}"\n[cluster.c.member.s]\n'
    made = generate(tmp_path, text)
    told = {identity: (member.tier, len(member.public_keys)) for identity, member in entries(tmp_path).items()}
    assert told == {"m": (None, 1), "s": (Tier.SHARED, 0)}
    assert dict(made.keyring.member_files) == {"m": ("client-m.key",)}
    assert "crypto_config" not in (tmp_path / "out" / "client-m.toml").read_text()


@pytest.mark.parametrize(
    ("fleet", "member", "files"),
    [
        ("minimum_tier = 'shared'", "", {"shared.key"}),
        ("minimum_tier = 'shared'", "tier = 'key'", {"shared.key", "server.key", "members/m.key"}),
        ("", "", {"server.key", "members/m.key"}),
        ("tier = 'shared'", "", {"shared.key", "server.key"}),
        ("tier = 'shared'", "tier = 'key'", {"server.key", "members/m.key"}),
    ],
)
def test_only_keys_that_somebody_needs_are_made(tmp_path: Path, fleet: str, member: str, files: set[str]) -> None:
    """A shared key that nobody should use would open a way in, or one that is needed would be missing."""
    generate(tmp_path, f"[cluster.c.member.m]\n{member}\n", fleet=fleet)
    assert secrets(tmp_path) == files
    server = load_server_config(tmp_path / "out" / "server.toml")
    assert (server.key is not None) is ("shared.key" in files)
    assert client(tmp_path, "m").tier is (Tier.KEY if "members/m.key" in files else Tier.SHARED)


def test_a_fleet_is_given_new_keys_in_two_steps(tmp_path: Path) -> None:
    """A rotation would cut members off, or leave the old key valid for ever."""
    members = "[cluster.c.member.m]\n[cluster.c.member.n]\n"
    generate(tmp_path, members)
    [old_server] = load_server_config(tmp_path / "out" / "server.toml").security.private_keys
    [old] = client(tmp_path, "m").private_keys
    generate(tmp_path, members, fleet="key = [1, 2]\nserver_key = [1, 2]")
    assert client(tmp_path, "m").private_keys[0] == old
    assert names(client(tmp_path, "m").private_keys) == ["m.key", "m@2.key"]
    assert len(entries(tmp_path)["m"].public_keys) == len(entries(tmp_path)["n"].public_keys) == 2
    both = load_server_config(tmp_path / "out" / "server.toml").security.private_keys
    assert both[0] == old_server
    assert [encode_key(key) for key in client(tmp_path, "n").servers[0].public_keys] == [key.public for key in both]
    generate(tmp_path, members, fleet="key = 2\nserver_key = 2")
    assert names(client(tmp_path, "m").private_keys) == ["m@2.key"]
    assert [encode_key(key) for key in entries(tmp_path)["m"].public_keys] != [old.public]
    assert load_server_config(tmp_path / "out" / "server.toml").security.private_keys == both[1:]
    assert {"members/m.key", "members/m@2.key", "server.key"} <= secrets(tmp_path)


def test_one_member_alone_can_be_given_a_new_key(tmp_path: Path) -> None:
    """A stolen key would mean new keys for everybody."""
    generate(tmp_path, "[cluster.c.member.m]\n[cluster.c.member.n]\n")
    before = entries(tmp_path)
    made = generate(tmp_path, "[cluster.c.member.m]\nkey = 2\n[cluster.c.member.n]\n")
    assert made.new_secrets == ("secrets/members/m@2.key",)
    drop_in = "units/rustun-client@m.service.d/rustun.conf"  # its key file has another name than most
    assert [file.name for file in made.changes] == ["routes.json", "client-m.toml", drop_in]
    assert entries(tmp_path)["n"] == before["n"]
    assert entries(tmp_path)["m"].public_keys != before["m"].public_keys


PSKS = """
[tag.careful]
psk = true
[cluster.c.member.m]
tags = ["careful"]
[cluster.c.member."50% / é"]
psk = true
[cluster.c.member.own]
psk = true
public_key = "{}"
[cluster.c.member.not]
tags = ["careful"]
psk = false
[cluster.c.member.low]
tags = ["careful"]
tier = "shared"
"""


def test_both_sides_of_a_pre_shared_key_read_the_same_file(tmp_path: Path) -> None:
    """A member could not come in, or its pre-shared key would protect nothing."""
    own = new_private_key()
    made = generate(tmp_path, PSKS.format(public_key_of(own)))
    odd = "50%25%20%2f%20%c3a9"
    assert {name for name in secrets(tmp_path) if name.startswith("psks/")} == {
        "psks/m.psk", f"psks/{odd}.psk", "psks/own.psk",
    }  # fmt: skip
    (tmp_path / "out" / "client-own.key").touch(0o600)
    (tmp_path / "out" / "client-own.key").write_text(own.reveal())
    told = entries(tmp_path)
    for identity, stem in (("m", "m"), ("own", "own"), ("50% / é", odd)):
        file = tmp_path / "out" / "secrets" / "psks" / f"{stem}.psk"
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert len(b64decode(file.read_text().strip(), validate=True)) == 32
        psk = told[identity].psk
        assert psk is not None
        assert psk == client(tmp_path, stem).psk
        assert psk.reveal() + "\n" == file.read_text()
    assert told["not"].psk is client(tmp_path, "not").psk is None
    assert told["low"].psk is client(tmp_path, "low").psk is None
    assert len({told[name].psk for name in ("m", "own", "50% / é")}) == 3
    assert plan(tmp_path, PSKS.format(public_key_of(own))).current
    shown = repr(made) + "".join(file.diff() for file in made.changes)
    assert not any(path.read_text().strip() in shown for path in (tmp_path / "out").rglob("*.psk"))


def test_a_pre_shared_key_that_is_there_is_used_and_outlives_its_setting(tmp_path: Path) -> None:
    """Switching it off and on again would give the member another one than its host has."""
    member = "[cluster.c.member.m]\npsk = true\n"
    psks = tmp_path / "out" / "secrets" / "psks"
    psks.mkdir(parents=True, mode=0o700)
    write_key(psks / "m.psk", new_psk())
    before = (psks / "m.psk").read_text()
    assert "secrets/psks/m.psk" not in generate(tmp_path, member).new_secrets
    off = generate(tmp_path, member.replace("true", "false"))
    drop_in = "units/rustun-client@m.service.d/rustun.conf"
    assert ([file.name for file in off.changes], off.unknown) == (
        ["routes.json", "client-m.toml", "fleet.md"],
        (drop_in,),
    )
    assert generate(tmp_path, member).new_secrets == ()
    assert (psks / "m.psk").read_text() == before


def test_key_files_that_cannot_be_used_are_all_named(tmp_path: Path) -> None:
    """A damaged key would be made anew over the old one, or stop everything with a traceback."""
    generate(tmp_path, "[cluster.c.member.m]\n[cluster.c.member.n]\n[cluster.c.member.o]\n")
    members = tmp_path / "out" / "secrets" / "members"
    (members / "m.key").chmod(0o644)
    (members / "n.key").write_text("not a key!\n")
    (members / "o.key").unlink()
    (members / "o.key").symlink_to("nowhere")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, "[cluster.c.member.m]\n[cluster.c.member.n]\n[cluster.c.member.o]\n[cluster.c.member.p]\n")
    for problem, name, words in zip(caught.value.problems, "mno", ("0644", "not Base64", "no key file"), strict=True):
        assert problem.file == str(members / f"{name}.key")
        assert words in problem.reason
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_damaged_pre_shared_key_is_named(tmp_path: Path) -> None:
    """It would be made anew, or the server refuse its whole routes.json."""
    member = "[cluster.c.member.m]\npsk = true\n"
    generate(tmp_path, member)
    (tmp_path / "out" / "secrets" / "psks" / "m.psk").write_text("c2hvcnQ=\n")
    with pytest.raises(ConfigError, match=r"out/secrets/psks/m\.psk: the pre-shared key has 5 bytes, not 32"):
        plan(tmp_path, member)


def test_private_keys_stand_in_their_files_alone(tmp_path: Path) -> None:
    """A key would lie in a file that others read, or on a screen."""
    made = generate(tmp_path, "[cluster.c.member.m]\n[cluster.c.member.s]\ntier = 'shared'\n")
    shown = repr(made) + json.dumps(made.new_secrets) + "".join(file.diff() for file in made.changes)
    shown += "".join(path.read_text() for path in (tmp_path / "out").glob("*.*") if path.is_file())
    keys = [path.read_text().strip() for path in (tmp_path / "out" / "secrets").rglob("*.key")]
    assert len(keys) == 3
    assert not any(key in shown for key in keys)


DASHBOARD = 'dashboard = ["127.0.0.1:8081", "198.18.0.1:8081"]\ndashboard_hosts = "vpn.example.org"'


def test_a_dashboard_has_a_token_that_stays(tmp_path: Path) -> None:
    """Nobody could log in, everybody is logged out by each run, or a fleet without a dashboard has a token."""
    generate(tmp_path, "[cluster.c.member.m]\n")
    assert "dashboard.token" not in secrets(tmp_path)
    made = generate(tmp_path, "[cluster.c.member.m]\n", fleet=DASHBOARD)
    assert made.new_secrets == ("secrets/dashboard.token",)
    config = load_server_config(tmp_path / "out" / "server.toml").web
    assert list(map(str, config.listen)) == ["127.0.0.1:8081", "198.18.0.1:8081"]
    assert (config.hosts, config.metrics_listen) == (("vpn.example.org",), ())
    token = tmp_path / "out" / "secrets" / "dashboard.token"
    before = token.read_text()
    assert config.token is not None
    assert config.token.reveal() == before.strip()
    assert (token.stat().st_mode & 0o777, len(before)) == (0o600, 44)
    assert generate(tmp_path, "[cluster.c.member.m]\n", fleet=DASHBOARD).current
    token.unlink()  # who has lost it makes another one
    generate(tmp_path, "[cluster.c.member.m]\n", fleet=DASHBOARD)
    assert token.read_text() != before


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("", 0o600, "is empty"),
        ("short\n", 0o600, "holds no token"),
        ("sixteen characters and spaces\n", 0o600, "holds no token"),
        ("a-token-of-more-than-16-characters\n", 0o644, "chmod 600"),
    ],
)
def test_a_damaged_token_is_named(tmp_path: Path, text: str, mode: int, words: str) -> None:
    """It would be deployed, and the servers refuse their files or start without a dashboard."""
    generate(tmp_path, "[cluster.c.member.m]\n", fleet=DASHBOARD)
    token = tmp_path / "out" / "secrets" / "dashboard.token"
    token.write_text(text)
    token.chmod(mode)
    with pytest.raises(ConfigError, match=words) as raised:
        plan(tmp_path, "[cluster.c.member.m]\n", fleet=DASHBOARD)
    assert str(raised.value).endswith("; or delete it, and gen-config makes another one")
    assert str(token) in str(raised.value)
    assert "more-than" not in str(raised.value)


def test_figures_for_other_hosts_have_the_token(tmp_path: Path) -> None:
    """The server would refuse its file: figures that other hosts may ask for need one."""
    generate(tmp_path, "[cluster.c.member.m]\n", fleet='metrics = "198.18.0.1:9101"')
    config = load_server_config(tmp_path / "out" / "server.toml").web
    assert (list(map(str, config.metrics_listen)), config.listen, config.token is None) == (
        ["198.18.0.1:9101"], (), False,
    )  # fmt: skip
