"""Policies: what holds in a small fleet with everything in it, and what a slip in a policy file says."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from rustun.errors import ConfigError
from rustun.ops import exit_codes
from rustun.ops.inventory import load_inventory
from rustun.ops.policy import run
from rustun.ops.policy.judge import Outcome
from rustun.ops.templating import render_routes

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
FLEET = """
[fleet]
name = "acme"
servers = [{ address = "198.18.0.1:8080" }]

[cluster.red]
network = "10.0.1.0/24"
network6 = "fd00:1::/64"
[cluster.red.member.gate]
address = "10.0.1.1"
ciders = ["192.168.10.0/24", "192.168.11.0/24"]
cider_mapping = { "192.168.11.0/24" = "192.168.50.0/24" }
[cluster.red.member.nested]
address = "10.0.1.2"
ciders = ["192.168.10.128/25"]
tags = ["site"]
[cluster.red.member.alice]
address = "10.0.1.3"
tags = ["people"]
[cluster.red.member.bob]
address = "10.0.1.4"
tags = ["people"]
accept_routes = ["192.168.10.0/24", "10.0.1.0/24", "fd00:1::/64"]
[cluster.red.member.off]
address = "10.0.1.5"
enabled = false
[cluster.red.member.past]
address = "10.0.1.6"
expires_at = 2026-01-01
[cluster.red.member.out]
address = "10.0.1.7"
ciders = ["0.0.0.0/0", "::/0"]
offer_exit = true
[cluster.red.member.roadie]
address = "10.0.1.8"
exit_node = "out"

[cluster.blue]
network = "10.0.1.0/24"
[cluster.blue.member.twin]
address = "10.0.1.1"
ciders = ["192.168.10.0/24"]
[cluster.blue.member.clerk]
address = "10.0.1.9"
"""


def judged(folder: Path, policy: str) -> tuple[Outcome, ...]:
    """Judge one policy on the small fleet."""
    (folder / "acme.toml").write_text(FLEET)
    (folder / "acme.policy").write_text(policy)
    inventory = load_inventory(folder / "acme.toml")
    return run.check(folder / "acme.toml", inventory, render_routes(inventory), NOW)


def test_outcomes_stand_in_the_order_of_the_lines(tmp_path: Path) -> None:
    """An operator would look for what failed at another line: two processes judge, each the clusters of its own."""
    holds = {
        "twin cannot reach gate": True,
        "alice can reach bob": True,
        "off cannot reach gate": True,
        "twin can reach the internet": False,
    }
    found = judged(tmp_path, "\n".join([*holds] * 80))
    assert [(outcome.assertion.text, outcome.holds) for outcome in found] == [*holds.items()] * 80


@pytest.mark.parametrize(
    "line",
    [
        "alice can reach bob",
        "alice can reach 10.0.1.1",
        "alice can reach fd00:1::1",
        "alice can reach 192.168.10.5",
        "alice can reach 192.168.10.0/24",
        "alice can reach 192.168.11.0/24",
        "alice cannot reach 192.168.50.1",  # the real side of a mapping is nobody's in the cluster
        "alice cannot reach past",
        "nobody can reach off",
        "nobody can reach past",
        "past cannot reach alice",
        "bob can reach 192.168.10.200",
        "bob cannot reach 192.168.11.1",  # his accept_routes
        "everybody tagged people can reach gate",
        "nobody in blue can reach red",
        "nobody in red can reach cluster blue",
        "clerk can reach 192.168.10.5",
        "clerk cannot reach gate",  # it reaches its twin with the same address
        "clerk cannot reach fd00:1::1",
        "roadie can reach the internet",
        "roadie cannot reach 172.16.3.4",  # an exit forwards what is globally routable
        "nobody except roadie can reach the internet",
        "nobody except roadie, alice and bob can reach the internet",
        "twin can reach member clerk",
        "everybody in blue can reach blue",  # each the others
        "clerk cannot reach 10.0.1.9",  # which is its own
    ],
)
def test_what_holds(tmp_path: Path, line: str) -> None:
    """A policy that is kept would be called broken, and generating would be refused."""
    (outcome,) = judged(tmp_path, line)
    assert outcome.holds, outcome.against


LAN, EXIT = 'ciders = ["192.168.9.0/24"]', 'ciders = ["0.0.0.0/0"]'


@pytest.mark.parametrize(
    ("site", "one", "line", "against"),
    [
        (f"{EXIT}\noffer_exit = true", "", "one can reach cluster green", ""),  # an exit is no part of it
        (LAN, 'accept_routes = ["10.0.9.0/24"]', "one can reach cluster green", "does not send 192.168.9.1 into"),
        ('ciders = ["fd00:9::/64"]', "", "one cannot reach fd00:9::1", ""),  # it has no IPv6 address to send from
        (EXIT, 'exit_node = "site"', "one cannot reach 9.9.9.9", ""),
        (EXIT, 'exit_node = "site"', "one can reach 9.9.9.9", "site does not agree to forward for 0.0.0.0/0"),
    ],
)
def test_what_holds_beside_a_site(tmp_path: Path, site: str, one: str, line: str, against: str) -> None:
    """A cluster would be in reach without its LANs, or out of reach for its exit; a host forward without agreeing."""
    head = FLEET.partition("[cluster.")[0]
    members = f"[cluster.green.member.one]\n{one}\n[cluster.green.member.site]\n{site}\n"
    (tmp_path / "acme.toml").write_text(f'{head}[cluster.green]\nnetwork = "10.0.9.0/24"\n{members}')
    (tmp_path / "acme.policy").write_text(line)
    inventory = load_inventory(tmp_path / "acme.toml")
    (outcome,) = run.check(tmp_path / "acme.toml", inventory, render_routes(inventory), NOW)
    assert outcome.holds is not bool(against)
    assert against in outcome.against


@pytest.mark.parametrize(
    ("line", "against"),
    [
        ("alice cannot reach bob", "alice (red) reaches it: 10.0.1.4 is an address of bob"),
        ("nobody in red can reach 192.168.10.200", "gate (red) reaches it: 192.168.10.128/25 lies behind nested"),
        ("alice can reach 192.168.50.1", "alice does not send 192.168.50.1 into the tunnel: in no prefix of another"),
        ("alice can reach 192.168.0.0/16", "alice does not send 192.168.0.1 into the tunnel: in no prefix of another"),
        ("clerk can reach 192.168.0.0/16", "192.168.0.1 lies in no prefix of cluster blue"),
        (
            "bob can reach 192.168.11.1",
            "bob does not send 192.168.11.1 into the tunnel: in no prefix of another member",
        ),
        ("alice can reach off", "off is switched off, or its time is over"),
        ("past can reach alice", "past is switched off, or its time is over"),
        ("clerk can reach gate", "clerk (blue) does not reach it: 10.0.1.1 is an address of twin, not gate"),
        ("gate can reach 10.0.1.1", "gate has nothing of it to reach: it is its own, or nobody's"),
        ("roadie cannot reach the internet", "roadie (red) reaches it: 0.0.0.0/0 lies behind out"),
        ("roadie can reach 172.16.3.4", "172.16.3.4 is not globally routable, and out is only an exit for what is"),
        ("everybody in red can reach the internet", "off is switched off"),
        ("everybody tagged people can reach 192.168.11.7", "bob does not send 192.168.11.7 into the tunnel"),
    ],
)
def test_what_does_not_hold_is_shown_by_a_case(tmp_path: Path, line: str, against: str) -> None:
    """A policy that is broken would pass, or its author would have to search for why."""
    (outcome,) = judged(tmp_path, line)
    assert not outcome.holds
    assert against in outcome.against


@pytest.mark.parametrize(
    ("line", "reason", "remedy"),
    [
        ("alice reaches bob", '"alice reaches bob" is no assertion', "write it like: alice can reach 192.168.10.5"),
        ("can reach bob", '"can reach bob" is no assertion', "write it like"),
        ("nobody cannot reach bob", '"nobody cannot" says two things', 'write "everybody can" or "nobody can"'),
        ("alcie can reach bob", 'there is no member "alcie"', "did you mean alice?"),
        ("everybody in rde can reach bob", 'there is no cluster "rde"', "did you mean red?"),
        ("everybody tagged peopel can reach bob", 'there is no tag "peopel"', "did you mean people?"),
        ("alice can reach bbo", 'there is no member or cluster "bbo"', "did you mean bob?"),
        ("alice can reach 10.0.1.5/24", '"10.0.1.5/24" has host bits set', "10.0.1.0/24"),
        ("nobody except can reach bob", '"except" names nobody', "name the members"),
        ("everybody except alise can reach bob", 'there is no member "alise"', "did you mean alice?"),
        ("everybody tagged site except nested can reach bob", "is nobody at all", "could never fail"),
        ("alice bob can reach gate", '"alice bob" is nobody that can be named so', "everybody in CLUSTER"),
        ("alice can reach bob gate", '"bob gate" is nothing that can be reached', "write it like"),
    ],
)
def test_a_slip_is_named_with_file_line_and_remedy(tmp_path: Path, line: str, reason: str, remedy: str) -> None:
    """An assertion would silently mean something else, or nothing."""
    with pytest.raises(ConfigError) as caught:
        judged(tmp_path, f"# a comment\n\n{line}  # at the end\n")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(tmp_path / "acme.policy"), 3)
    assert reason in problem.reason
    assert remedy in problem.remedy


def test_one_name_for_member_and_cluster_has_to_be_told_apart(tmp_path: Path) -> None:
    """ "alice can reach red" would be judged for the wrong one of two."""
    (tmp_path / "two.toml").write_text(FLEET.replace("member.bob]", "member.blue]"))
    (tmp_path / "two.policy").write_text("alice can reach blue\nalice can reach member blue\n")
    inventory = load_inventory(tmp_path / "two.toml")
    with pytest.raises(ConfigError, match="is a member and a cluster"):
        run.check(tmp_path / "two.toml", inventory, render_routes(inventory), NOW)


STRICT = """
[fleet]
name = "strict"
servers = [{ address = "198.18.0.1:8080" }]
[cluster.c]
network = "10.0.0.0/24"
network6 = "fd00:1::/64"
[cluster.c.member.a]
ACCEPT
[cluster.c.member.b]
[cluster.c.member.gate]
ciders = ["10.0.0.0/16"]
"""


@pytest.mark.parametrize(
    ("accept", "line", "against"),
    [
        ("[]", "a can reach 10.0.0.2", "a does not accept 10.0.0.0/24"),
        ("[]", "b can reach 10.0.0.1", "a does not accept 10.0.0.0/24"),
        ('["10.0.0.0/24"]', "a can reach 10.0.0.2", ""),
        ('["10.0.0.0/24"]', "a can reach b", "a does not accept fd00:1::/64"),
        ('["10.0.0.0/24", "fd00::/8"]', "a can reach b", ""),
        ('["10.0.0.0/24"]', "a can reach 10.0.0.0/16", "a does not send 10.0.1.1 into the tunnel"),
        ('["10.0.0.0/24"]', "a cannot reach 10.0.4.0/22", ""),
    ],
)
def test_a_host_that_does_not_accept_its_own_network_has_no_tunnel(
    tmp_path: Path, accept: str, line: str, against: str
) -> None:
    """Assertions would hold in words where no packet gets through: the host does not even set its address."""
    path = tmp_path / "strict.toml"
    path.write_text(STRICT.replace("ACCEPT", f"accept_routes = {accept}"))
    path.with_suffix(".policy").write_text(line)
    inventory = load_inventory(path)
    (outcome,) = run.check(path, inventory, render_routes(inventory), NOW)
    assert outcome.holds is not bool(against)
    assert against in outcome.against


def test_the_task_says_what_broke_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CI would merge a change that lets somebody in."""
    judged(tmp_path, "alice can reach bob\n\nnobody can reach 10.0.1.4\n")
    assert run.run(tmp_path / "acme.toml", as_json=False) == exit_codes.FAILED
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f'{tmp_path}/acme.policy:3: "nobody can reach 10.0.1.4" does not hold'
    assert said[1] == "  gate (red) reaches it: 10.0.1.4 is an address of bob"
    assert said[2].startswith("policy-test acme.policy: 1 of 2 do not hold; ")
    assert run.run(tmp_path / "acme.toml", as_json=True) == exit_codes.FAILED
    facts = json.loads(capsys.readouterr().out)
    assert [one["holds"] for one in facts["assertions"]] == [True, False]


def test_without_any_assertion_nothing_is_called_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misplaced policy file would be a green check for ever."""
    (tmp_path / "acme.toml").write_text(FLEET)
    assert run.run(tmp_path / "acme.toml", as_json=False) == exit_codes.BAD_INPUT
    assert capsys.readouterr().err.splitlines()[0] == f"policy-test: no assertion beside {tmp_path}/acme.toml"


def test_every_policy_of_a_folder_counts(tmp_path: Path) -> None:
    """A second file beside a large inventory would never be looked at."""
    (tmp_path / "fleet.toml").write_text(FLEET)
    (tmp_path / "a.policy").write_text("alice can reach bob\n")
    (tmp_path / "b.policy").write_text("alice cannot reach bob\n")
    inventory = load_inventory(tmp_path)
    assert [one.holds for one in run.check(tmp_path, inventory, render_routes(inventory), NOW)] == [True, False]
