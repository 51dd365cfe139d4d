"""Hosts that tell nonsense: each value of the facts replaced by what it cannot be."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rustun.ops.deploy.far.facts import facts as facts_of
from rustun.ops.deploy.ssh import Far, Unreachable
from rustun.ops.deploy.told import FACTS, nonsense, read_hosts
from tests.unit.ops.deploy.fleet import Fleet

WRONG: tuple[Any, ...] = (None, True, -1, 10**30, float("nan"), "\x1b[2J/../x", ["x"], {"x": 1}, [[]], {"x": {}})


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a server that was deployed tells, through JSON as on its way."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), "bj-a")
    fleet.deploy()
    told: dict[str, Any] = json.loads(json.dumps(facts_of(fleet.host("server"), ["rustun-server.service"])))
    told["status"][0]["routes"]["file"] = "/etc/rustun/routes.json"
    told["status"][0]["sessions"] = [{"identity": "bj-a", "state": "online", "proof_age_s": 3.2}]
    return told


def places(value: Any, *way: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside another."""
    if way:
        yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, *way, name)


def far(answer: bytes) -> Far:
    """Return a host that answers this, whatever it is asked."""
    return Far(io.BytesIO(answer), io.BytesIO(), lambda: None, lambda: Unreachable("the connection ended"))


def test_what_a_host_really_tells_is_believed(facts: dict[str, Any]) -> None:
    """No host could be deployed to."""
    assert list(nonsense(facts)) == []
    assert far(json.dumps({"facts": facts}).encode() + b"\n").facts([]) == facts


def test_a_client_may_call_its_prefixes_routes(facts: dict[str, Any]) -> None:
    """No host with a client could be deployed to: what a server says of its members' file is another thing there."""
    [server] = facts["status"]
    client = {"role": "client", "pid": 7, "routes": ["10.0.1.0/24"]}
    assert list(nonsense({**facts, "status": [server, client]})) == []
    assert list(nonsense({**facts, "status": [{**client, "role": "server"}]})) == ["status"]


def test_no_value_of_the_facts_can_be_of_another_kind(facts: dict[str, Any]) -> None:
    """One broken host would end the look at all others with a traceback."""
    told_only = {"schema", "sub", "known", "restarts", "role", "alarms"}  # of no use here
    told_only |= {"members", "problems", "not_in_force", "loaded_at"}  # of the file in force
    unseen = []
    for name, check in FACTS.items():
        for way in places({name: facts[name]}):
            if told_only & set(way):
                continue
            for wrong in WRONG:
                broken = inner = {name: copy.deepcopy(facts[name])}
                for part in way[:-1]:
                    inner = inner[part]
                kinds = {type(inner[way[-1]]), type(wrong)}
                inner[way[-1]] = wrong
                may_be_missing = wrong is None and way[:1] == ("status",) and len(way) > 2
                if len(kinds) == 2 and kinds != {int, float} and not may_be_missing and check(broken[name]):
                    unseen.append((way, wrong))
    assert unseen == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("libc_version", "2.99999999"),
        ("libc_version", "2"),
        ("arch", "x86_64 --index-url"),
        ("clock", 1e300),
        ("generations", [{"number": 10**30, "manifest": {}}]),
        ("generations", [{"number": 0, "manifest": {}}]),
        ("free_bytes", {"/etc/rustun": 1}),
    ],
)
def test_values_have_a_range(facts: dict[str, Any], name: str, value: Any) -> None:
    """A host could fill the control station's memory, or carry off the numbers of all deployments."""
    assert list(nonsense({**facts, name: value})) == [name]


@pytest.mark.parametrize(
    "answer", [b"[]", b"5", b"null", b'{"facts": []}', b'{"facts": {}}', b"[" * 100_000, b"\xff", b"{"]
)
def test_an_answer_of_another_shape_is_a_host_that_does_not_answer(answer: bytes) -> None:
    """One broken host would end the look at all others with a traceback."""
    with pytest.raises(Unreachable):
        far(answer + b"\n").facts([])


@pytest.mark.parametrize("answer", [{"files": []}, {"files": {"/x": 5}}, {"files": {"/x": "a"}}, {}])
def test_files_of_another_shape(answer: dict[str, Any]) -> None:
    """A list of hosts, or a diff, would end in a traceback."""
    with pytest.raises(Unreachable, match="makes no sense"):
        far(json.dumps(answer).encode() + b"\n").read(["/x"])


def test_files_that_nobody_asked_for_are_left_out() -> None:
    """A host could hand over what was not asked for, or leave out what was."""
    assert far(b'{"files": {"/y": "eA=="}}\n').read(["/x"]) == {"/x": None}


@pytest.mark.parametrize(
    "answer",
    [
        {"begin": 1}, {"begin": -1}, {"begin": "0"}, {"done": True}, {"end": "good"}, {"end": []}, {"end": "failed"},
        {"end": "refused", "reason": 5, "remedy": ""}, {"end": None}, {},
    ],
)  # fmt: skip
def test_progress_of_another_shape(answer: dict[str, Any]) -> None:
    """A host that lies about its steps would end the deployment of all others with a traceback."""
    with pytest.raises(Unreachable):
        far(json.dumps(answer).encode() + b"\n").apply({"steps": [{"do": "put"}]}, {}, lambda said: None)


def test_a_line_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that never ends its line would fill the control station's memory."""
    monkeypatch.setattr("rustun.ops.deploy.ssh.MAX_ANSWER_BYTES", 1000)
    with pytest.raises(Unreachable):
        far(b'{"facts": "' + b"a" * 2000).facts([])


@pytest.mark.parametrize(
    "listed",
    [[], {}, {"hosts": []}, {"hosts": {"gw": "x"}}, {"hosts": {"gw": [1]}}, {"hosts": {"-oProxyCommand=id": ["a"]}}],
)
def test_a_list_of_hosts_that_is_none(listed: Any) -> None:
    """A server that somebody broke into would run programs on the control station."""
    assert read_hosts(listed) == {}


def test_a_member_names_no_hosts_to_be_cleared(tmp_path: Path) -> None:
    """Whoever has one member's host could have the hosts of others cleared, by names that nobody looks at."""
    fleet = Fleet(tmp_path, "bj-a", "bj-b")
    fleet.deploy()
    listed = Path(fleet.host("bj-a").at("/var/lib/rustun/deploy/hosts.json"))
    listed.write_text(json.dumps({"hosts": {"root@another": ["bj-c"]}}))
    found = fleet.look()
    found.close()
    assert "root@another" not in {*found.lines, *found.unreachable, *found.roster.hosts}
    assert set(fleet.hosts) == {"server", "bj-a", "bj-b"}


def test_no_host_carries_off_the_number_of_all_deployments(tmp_path: Path) -> None:
    """One host could have every later deployment refused everywhere, since its number is beyond what is believed."""
    fleet = Fleet(tmp_path, "bj-a", "bj-b")
    fleet.deploy()
    own = Path(fleet.host("bj-a").at("/var/lib/rustun/deploy"))
    (own / "1").rename(own / "999999999")
    found = fleet.look()
    found.close()
    assert "deployment 999999999, all others of 1 at most" in found.unreachable["root@bj-a"].reason
    fleet.members["bj-b"] = "mtu = 1400"
    assert fleet.deploy() == {"bj-b": ["done"]}
    manifests = fleet.host("bj-b").at("/var/lib/rustun/deploy")
    assert {path.name for path in Path(manifests).iterdir() if path.is_dir()} == {"1", "2"}
