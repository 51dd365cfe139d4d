"""routes.json -> RoutesFile, whole and step by step."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_network
from pathlib import Path

import pytest

from rustun.config import Member, RoutesFile, Secret, parse_routes, read_routes
from rustun.config.files import MAX_ROUTES_BYTES
from rustun.errors import ConfigError
from rustun.protocol.tiers import Tier
from tests.fuzz.decoders import counted_calls

PUBLIC_KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
PSK = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE="
OTHER_KEY = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="


def entry(identity: str, address: str, cluster: str = "beijing", **more: object) -> dict[str, object]:
    """Return an entry as the seed writes it."""
    base = {"cluster": cluster, "identity": identity, "private_ip": address, "mask": "255.255.255.0"}
    return base | {"gateway": "10.0.1.254", "ciders": []} | more


def parsed(entries: object) -> RoutesFile:
    """Run the parser to its end."""
    steps = parse_routes(json.dumps(entries, indent=2).encode(), "routes.json")
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            routes: RoutesFile = stop.value
            return routes


def test_the_seeds_example(tmp_path: Path) -> None:
    """A routes.json of the seed does not work here."""
    entries = [
        entry("bj-office-gw", "10.0.1.1", ciders=["192.168.1.0/24", "192.168.2.0/24"]),
        entry("bj-dev-server", "10.0.1.2"),
        entry("sh-office-gw", "10.0.2.1", "shanghai", gateway="10.0.2.254", ciders=["192.168.10.0/24"]),
        entry("sh-db-server", "10.0.2.2", "shanghai", gateway=""),
    ]
    path = tmp_path / "routes.json"
    path.write_text(json.dumps(entries))
    routes = read_routes(path)
    assert routes.notes == ()
    assert [member.identity for member in routes.members] == [str(one["identity"]) for one in entries]
    first = routes.members[0]
    assert first.interface == IPv4Interface("10.0.1.1/24")
    assert first.ciders == (ip_network("192.168.1.0/24"), ip_network("192.168.2.0/24"))
    assert (first.gateway, routes.members[3].gateway) == (IPv4Address("10.0.1.254"), None)


def test_every_key_of_an_entry(tmp_path: Path) -> None:
    """One of our own keys is ignored or read as another."""
    psk_file = tmp_path / "gw.psk"
    psk_file.write_text(PSK + "\n")
    psk_file.chmod(0o600)
    full = entry(
        "gw",
        "10.0.1.1",
        name="Beijing office",
        ciders=["192.168.11.0/24", "fd00:9::/64"],
        cider_mapping={"192.168.11.0/24": "192.168.10.0/24"},
        private_ip6="fd00:1::1/64",
        public_key=[PUBLIC_KEY, OTHER_KEY],
        psk_file=str(psk_file),
        tier="key",
        enabled=False,
        expires_at="2027-06-30",
    )
    member = parsed([full]).members[0]
    assert member == Member(
        cluster="beijing",
        identity="gw",
        name="Beijing office",
        private_ip=IPv4Address("10.0.1.1"),
        mask=IPv4Address("255.255.255.0"),
        gateway=IPv4Address("10.0.1.254"),
        ciders=(ip_network("192.168.11.0/24"), ip_network("fd00:9::/64")),
        cider_mapping=((ip_network("192.168.11.0/24"), ip_network("192.168.10.0/24")),),
        private_ip6=IPv6Interface("fd00:1::1/64"),
        public_keys=member.public_keys,
        psk_file=str(full["psk_file"]),
        psk=Secret(PSK),
        tier=Tier.KEY,
        enabled=False,
        expires_at=datetime(2027, 7, 1, tzinfo=UTC),
        line=2,
    )
    assert [len(key) for key in member.public_keys] == [32, 32]
    assert PSK not in repr(member)


def test_missing_optional_keys() -> None:
    """An entry with the least that the seed writes is refused."""
    member = parsed([{"cluster": "c", "identity": "i", "private_ip": "10.0.0.1", "mask": "255.0.0.0"}]).members[0]
    assert (member.name, member.gateway, member.ciders, member.cider_mapping) == ("", None, (), ())
    assert (member.tier, member.enabled, member.expires_at, member.public_keys) == (None, True, None, ())


def test_what_may_be_equal() -> None:
    """Tenants cannot use the same private addresses, or two exits cannot offer the default route."""
    assert parsed(
        [
            entry("a", "10.0.1.1", "one", ciders=["0.0.0.0/0", "::/0", "192.168.1.0/24"]),
            entry("b", "10.0.1.2", "one", ciders=["0.0.0.0/0", "::/0", "192.168.1.0/25"]),
            entry("c", "10.0.1.1", "two", ciders=["192.168.1.0/24", "10.0.1.1/32"]),
        ]
    ).members


@pytest.mark.parametrize(
    "second",
    [
        entry("a", "10.0.1.2", "two"),
        entry("b", "10.0.1.1"),
        entry("b", "10.0.1.2", ciders=["192.168.1.0/24"]),
        entry("b", "10.0.1.2", ciders=["10.0.1.1/32"]),
        entry("b", "192.168.7.7"),
        entry("b", "10.0.1.2", ciders=["fd00:1::1/128"]),
        entry("b", "10.0.1.2", private_ip6="fd00:1::1/48"),
        entry("b", "10.0.1.2", public_key=PUBLIC_KEY),
        entry("b", "10.0.1.2", ciders=["-j ACCEPT"]),
        entry("b", "10.0.1.2", ciders=["192.168.3.1/24"]),
    ],
)
def test_the_whole_file_is_refused(second: dict[str, object]) -> None:
    """Two members claim one thing, and which of them gets it is left to chance."""
    first = entry(
        "a",
        "10.0.1.1",
        ciders=["192.168.1.0/24", "192.168.7.7/32"],
        private_ip6="fd00:1::1/64",
        public_key=PUBLIC_KEY,
    )
    assert parsed([first]).members
    with pytest.raises(ConfigError) as caught:
        parsed([first, second])
    errors = [problem for problem in caught.value.problems if problem.level == "error"]
    assert len(errors) == 1
    assert str(second["identity"]) in errors[0].key
    assert errors[0].line >= 17
    assert errors[0].remedy


def test_warnings_never_displace_errors() -> None:
    """A file with a thousand warnings before its error is taken."""
    warned = [
        entry(f"m{number}", f"10.0.{number // 200}.{number % 200 + 1}", gateway="10.9.9.9") for number in range(1200)
    ]
    assert len(parsed(warned).notes) == 1001
    with pytest.raises(ConfigError, match="is taken by"):
        parsed([*warned, entry("last", "10.0.0.1")])


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    """A file of 100 MB is read into memory before it is refused."""
    path = tmp_path / "routes.json"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ConfigError, match="104,857,600 bytes long"):
        read_routes(path)
    with pytest.raises(ConfigError, match="at most"):
        next(parse_routes(bytes(MAX_ROUTES_BYTES + 1), "routes.json"))


CALLS_PER_STEP = 10_000  # 4,800 here, which take 1 ms; a relay can spare 5


def test_a_large_file_in_short_steps(tmp_path: Path) -> None:
    """Taking a file of 10,000 members, each with a pre-shared key, stops the running relay for a second."""
    psk_file = tmp_path / "all.psk"
    psk_file.touch(0o600)
    psk_file.write_text(PSK)
    entries = [
        entry(
            f"m{number}",
            f"10.{number // 250}.{number % 250 // 200}.{number % 200 + 1}",
            f"c{number // 250}",
            mask="255.255.0.0",
            gateway="",
            ciders=[f"172.16.{number % 250}.0/24", f"10.{number // 250 + 100}.{number % 250}.0/24"],
            public_key=base64.b64encode(number.to_bytes(16) + bytes(15) + b"\1").decode(),
            psk_file=str(psk_file),
        )
        for number in range(10_000)
    ]
    data = json.dumps(entries, indent=2).encode()
    steps, calls, routes = parse_routes(data, "routes.json"), [], []

    def step() -> None:
        try:
            next(steps)
        except StopIteration as stop:
            routes.append(stop.value)

    while not routes:
        calls.append(counted_calls(step))
    assert len(routes[0].members) == 10_000
    assert len(calls) > 1000
    assert max(calls) < CALLS_PER_STEP


def test_more_prefixes_than_can_be_told_are_refused() -> None:
    """One member with thousands of LANs makes a message that no record holds, and its cluster has no session left."""
    lans = [f"172.{16 + number // 256}.{number % 256}.0/24" for number in range(401)]
    assert len(parsed([entry("a", "10.0.1.1", ciders=lans[:400])]).members[0].ciders) == 400
    with pytest.raises(ConfigError, match="ciders has 401 prefixes, at most 400"):
        parsed([entry("a", "10.0.1.1", ciders=lans)])


def test_two_members_with_one_key_are_refused_wherever_it_stands() -> None:
    """Whoever has one member's key, an old one of a rotation too, comes in as the other, in another tenant even."""
    pairs = [(PUBLIC_KEY, [OTHER_KEY, PUBLIC_KEY]), ([OTHER_KEY, PUBLIC_KEY], PUBLIC_KEY), ([OTHER_KEY], [OTHER_KEY])]
    for first, second in pairs:
        entries = [
            entry("a", "10.0.1.1", "one", public_key=first),
            entry("b", "10.0.1.1", "two", public_key=second, enabled=False),
        ]
        with pytest.raises(ConfigError) as caught:
            parsed(entries)
        (problem,) = caught.value.problems
        assert problem.key == 'member "b" (cluster two)'
        assert problem.reason == 'public_key is that of "a" at line 2, cluster one'
        lines = json.dumps(entries, indent=2).split("\n")
        assert (OTHER_KEY if first == [OTHER_KEY] else PUBLIC_KEY) in lines[problem.line - 1]


def test_a_key_under_a_loose_spelling_is_no_second_key() -> None:
    """A second member claims the first one's key by a twin of it: other Base64, or the bit that X25519 ignores."""
    raw = base64.b64decode(PUBLIC_KEY)
    twins = [
        PUBLIC_KEY[:-2] + chr(ord(PUBLIC_KEY[-2]) + 1) + "=",
        base64.b64encode(raw[:-1] + bytes([raw[-1] | 0x80])).decode(),
        PUBLIC_KEY[:4] + "\n" + PUBLIC_KEY[4:],
    ]
    for twin in twins:
        for written in (twin, [OTHER_KEY, twin]):
            with pytest.raises(ConfigError, match="public_key"):
                parsed([entry("a", "10.0.1.1", public_key=PUBLIC_KEY), entry("b", "10.0.1.2", public_key=written)])


def test_another_pre_shared_key_is_another_member(tmp_path: Path) -> None:
    """A changed psk_file leaves sessions alive that were made with the old one."""
    path, psk_file = tmp_path / "routes.json", tmp_path / "a.psk"
    path.write_text(json.dumps([entry("a", "10.0.1.1", public_key=PUBLIC_KEY, psk_file="a.psk")]))
    psk_file.touch(0o600)
    psk_file.write_text(PSK)
    first = read_routes(path)
    assert read_routes(path) == first
    psk_file.write_text(OTHER_KEY)
    assert read_routes(path) != first


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (None, 0, "psk_file: there is no key file"),
        (PSK, 0o644, "has mode 0644: others may use it"),
        (PSK[:-3], 0o600, "psk_file: the pre-shared key is not Base64"),
        ("c2hvcnQ=", 0o600, "psk_file: the pre-shared key has 5 bytes, not 32"),
        ("", 0o600, "is empty"),
    ],
)
def test_a_bad_psk_file_refuses_the_whole_file(tmp_path: Path, text: str | None, mode: int, reason: str) -> None:
    """A member whose psk cannot be read comes in without one, or the operator is not told whose it is."""
    path = tmp_path / "routes.json"
    path.write_text(
        json.dumps([entry("a", "10.0.1.1"), entry("b", "10.0.1.2", public_key=PUBLIC_KEY, psk_file="b.psk")], indent=2)
    )
    if text is not None:
        (tmp_path / "b.psk").write_text(text)
        (tmp_path / "b.psk").chmod(mode)
    with pytest.raises(ConfigError) as caught:
        read_routes(path)
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == ('member "b" (cluster beijing)', 18)
    assert reason in problem.reason
    assert problem.remedy
    assert text is None or len(text) < 8 or text not in str(problem)


def test_a_psk_without_a_public_key_is_noticed(tmp_path: Path) -> None:
    """An operator believes that a pre-shared key protects a member that comes in without a key of its own."""
    psk_file = tmp_path / "a.psk"
    psk_file.touch(0o600)
    psk_file.write_text(PSK)
    (note,) = parsed([entry("a", "10.0.1.1", psk_file=str(psk_file))]).notes
    assert (note.level, note.reason) == (
        "warning",
        "psk_file is used in the key tier only, and there is no public_key",
    )
    assert parsed([entry("a", "10.0.1.1", psk_file="")]).members[0].psk is None


@pytest.mark.parametrize(
    ("key", "meant"),
    [("enable", "enabled"), ("disabled", "enabled"), ("expire_at", "expires_at"), ("publickey", "public_key"),
     ("Tier", "tier"), ("pskfile", "psk_file")],
)  # fmt: skip
def test_a_misspelt_protection_is_an_error(key: str, meant: str) -> None:
    """Somebody who was to be kept out comes in, since one letter is missing."""
    bare = {"cluster": "c", "identity": "i", "private_ip": "10.0.0.1", "mask": "255.0.0.0"}
    with pytest.raises(ConfigError) as caught:
        parsed([{**bare, key: False}])
    (problem,) = caught.value.problems
    assert (problem.level, problem.remedy) == ("error", f"did you mean {meant}?")
    assert parsed([{**bare, "time": 1, "public_ip": "x"}]).members


@pytest.mark.parametrize("nothing", ["", None, []])
def test_an_empty_public_key_is_said(nothing: object) -> None:
    """A tool that writes empty keys opens members to a lower tier, and nobody is told."""
    bare = {"cluster": "c", "identity": "i", "private_ip": "10.0.0.1", "mask": "255.0.0.0"}
    (note,) = parsed([{**bare, "public_key": nothing}]).notes
    assert note.level == "warning"
    assert "taken for an entry without one" in note.reason
