"""`lint`: what each rule finds, with its line, and what it lets pass."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from pathlib import Path

import pytest

from rustun.config.keys import new_psk
from rustun.ops import exit_codes
from rustun.ops.editing.files import editing
from rustun.ops.inventory import load_inventory
from rustun.ops.linting import judging, run
from rustun.ops.linting.judging import Judgement

ROOT = Path(__file__).resolve().parents[4]
NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
SAME_PSK = new_psk().reveal()
HEAD = """\
[fleet]
name = "acme"
servers = [{ address = "203.0.113.9:8080" }]
[cluster.red]
network = "10.0.1.0/24"
[cluster.red.member.gate]
ciders = [
  "192.168.10.0/24",
  GATE
]
[cluster.red.member.alice]
ALICE
"""


def judged(folder: Path, gate: str = "", alice: str = "", more: str = "") -> Judgement:
    """Judge a small fleet with some more in it."""
    path = folder / "acme.toml"
    path.write_text(HEAD.replace("GATE", gate).replace("ALICE", alice) + more)
    return judging.judge(path, load_inventory(path), folder / "build" / "acme", NOW)


CASES = {
    "nested-prefix": (
        {"alice": 'ciders = ["192.168.10.128/25"]'},
        12,
        "192.168.10.128/25 lies inside 192.168.10.0/24 of gate",
    ),
    "lan-in-network": ({"gate": '"10.0.0.0/16",'}, 9, "10.0.0.0/16 overlaps 10.0.1.0/24"),
    "server-covered": ({"gate": '"203.0.113.0/25",'}, 9, "203.0.113.0/25 holds 203.0.113.9, where server is"),
    "connected-lan": (
        {"alice": 'ciders = ["192.168.11.0/24"]\ncider_mapping = { "192.168.11.0/24" = "192.168.10.0/24" }'},
        13,
        "192.168.10.0/24 (seen as 192.168.11.0/24) is this site's own LAN, and gate offers 192.168.10.0/24",
    ),
    "network-refused": ({"alice": 'accept_routes = ["192.168.0.0/16"]'}, 11, "accept_routes leave out 10.0.1.0/24"),
    "public-prefix": ({"gate": '"8.8.8.0/24",'}, 9, "8.8.8.0/24 is public address space"),
    "low-tier": ({"more": 'tier = "shared"\n', "alice": ""}, 4, "alice come in by the shared tier"),
    "expiring": ({"alice": "expires_at = 2026-12-01"}, 12, "ends in 8 days"),
    "expired": ({"alice": "expires_at = 2026-11-01"}, 12, "ended 22 days ago"),
    "rotation": ({"alice": "key = [1, 2]"}, 12, "two key pairs are valid: 1 and 2"),
    "psk-unused": ({"alice": 'psk = true\ntier = "shared"'}, 4, "psk is without effect for alice: only the key tier"),
    "empty-cluster": ({"more": '[cluster.blue]\nnetwork = "10.0.2.0/24"\n'}, 13, "has no member"),
    "lone-member": ({"more": '[cluster.blue]\nnetwork = "10.0.2.0/24"\n[cluster.blue.member.bob]\n'}, 15, "is alone"),
}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_finds_what_it_is_for_and_names_the_line(tmp_path: Path, rule: str) -> None:
    """A fleet would be deployed with what its operator would have changed at a look."""
    texts, line, reason = CASES[rule]
    judgement = judged(tmp_path, **texts)
    ((found, problem),) = [one for one in judgement.problems if one[0] == rule]
    assert (problem.file, problem.line) == (str(tmp_path / "acme.toml"), line)
    assert reason in problem.reason
    assert problem.remedy


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"gate": '"192.168.10.128/25",'},  # one's own prefix in one's own
        {"gate": '"0.0.0.0/0",'},
        {"gate": '"198.18.5.0/24",'},
        {"alice": "expires_at = 2027-12-01"},
        {"alice": 'ciders = ["192.168.11.0/24"]'},
    ],
)
def test_what_is_well_gives_no_finding(tmp_path: Path, texts: dict[str, str]) -> None:
    """An operator who is warned of everything reads nothing."""
    assert [rule for rule, _ in judged(tmp_path, **texts).problems if rule != "inventory"] == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rustun", "default-key"),
        ("abc123", "weak-key"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "weak-key"),
        ("x7Gk2mQ9vT4bL8wZ1c", ""),
    ],
)
def test_a_shared_key_that_can_be_guessed_is_an_error_and_is_not_shown(tmp_path: Path, text: str, rule: str) -> None:
    """The seed's own key would guard a fleet; or lint would print a good one."""
    secrets = tmp_path / "build" / "acme" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "shared.key").write_text(text + "\n")
    found = [(name, problem) for name, problem in judged(tmp_path).problems if name != "inventory"]
    assert [name for name, _ in found] == ([rule] if rule else [])
    assert all(
        text not in f"{problem.reason} {problem.remedy}".replace(str(tmp_path), "") or text == "rustun"
        for _, problem in found
    )


@pytest.mark.parametrize(
    ("alice", "bob", "rules"),
    [
        (new_psk().reveal(), new_psk().reveal(), []),
        (SAME_PSK, SAME_PSK, [("same-psk", 14)]),
        ("A" * 43 + "=", "", [("weak-key", 12)]),
    ],
    ids=["good", "same", "zeros"],
)
def test_pre_shared_keys_that_protect_nothing(
    tmp_path: Path, alice: str, bob: str, rules: list[tuple[str, int]]
) -> None:
    """Thirty-two zeros are what a member without the key has; and who has another's can open what they record."""
    psks = tmp_path / "build" / "acme" / "secrets" / "psks"
    psks.mkdir(parents=True)
    for name, text in (("alice", alice), ("bob", bob)):
        if text:
            (psks / f"{name}.psk").write_text(f"{text}\n")
    found = judged(tmp_path, alice="psk = true", more="[cluster.red.member.bob]\npsk = true\n").problems
    assert [(rule, problem.line) for rule, problem in found if rule != "inventory"] == rules
    assert not any(text in str(problem) for text in (alice, bob) if text for _, problem in found)


def test_old_keys_are_counted(tmp_path: Path) -> None:
    """A key that left the house with somebody years ago would never be thought of."""
    members = tmp_path / "build" / "acme" / "secrets" / "members"
    members.mkdir(parents=True)
    for name, days in (("gate.key", 500), ("alice.key", 10)):
        (members / name).write_text("")
        made = NOW.timestamp() - days * 86400
        os.utime(members / name, (made, made))
    found = {rule: problem for rule, problem in judged(tmp_path).problems}
    assert found["old-keys"].reason == "1 private key is older than 365 days, the oldest 500"


def test_keys_that_nobody_uses_are_not_old(tmp_path: Path) -> None:
    """After a rotation, or the removal of a member, the note would stay for good, and nobody look at it again."""
    members = tmp_path / "build/acme/secrets/members"
    members.mkdir(parents=True)
    long_ago = NOW.timestamp() - 500 * 86_400
    for name in ("alice.key", "former.key", "alice@2.key"):
        (members / name).touch()
        os.utime(members / name, (long_ago, long_ago) if name != "alice@2.key" else (NOW.timestamp(),) * 2)
    assert "old-keys" not in dict(judged(tmp_path, alice="key = 2").problems)
    server = tmp_path / "build/acme/secrets/server.key"
    server.touch()
    os.utime(server, (long_ago, long_ago))
    assert "old-keys" in dict(judged(tmp_path, alice="key = 2").problems)


def test_what_was_accepted_is_counted_and_what_is_gone_is_said(tmp_path: Path) -> None:
    """A note that was looked at would come back each time, and hide the new one."""
    judged(tmp_path, alice='ciders = ["192.168.10.128/25"]')
    line = "nested-prefix cluster.red.member.alice.ciders 192.168.10.128/25"
    (tmp_path / "acme.baseline").write_text(f"# looked at\n{line}   # the new wing\nlone-member cluster.old\n")
    judgement = judged(tmp_path, alice='ciders = ["192.168.10.128/25"]')
    assert [rule for rule, _ in judgement.problems if rule != "inventory"] == []
    assert (judgement.accepted, judgement.unused) == (1, ("lone-member cluster.old",))


@pytest.mark.parametrize("name", ["a#b", "a  b", "a #b", "a\\\\b"])
def test_any_name_can_stand_in_a_baseline(tmp_path: Path, name: str) -> None:
    """What was accepted about it would come back each time, and be called unused besides."""
    more = f'[cluster.red.member."{name}"]\nciders = ["8.8.8.0/24"]\n'
    judged(tmp_path, more=more)
    path = tmp_path / "acme.toml"
    inventory = load_inventory(path)
    judging.accept(path, list(judging.findings(inventory, tmp_path / "build", NOW)))
    after = judging.judge(path, inventory, tmp_path / "build", NOW)
    assert (after.problems, after.accepted, after.unused) == ((), 1, ())


def test_two_who_accept_at_once_do_not_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody just takes out of the inventory would stand in the baseline, or the other way round."""
    judged(tmp_path)
    with editing(tmp_path / "acme.toml"):
        done = run.run(tmp_path / "acme.toml", tmp_path / "build", strict=False, accepting=True, as_json=False)
    assert done == exit_codes.ENVIRONMENT
    assert "somebody else is editing here\n  run it again" in capsys.readouterr().err
    assert not (tmp_path / "acme.baseline").exists()


def test_an_error_cannot_be_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that everybody knows would be waved through for ever."""
    secrets = tmp_path / "build" / "acme" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "shared.key").write_text("rustun\n")
    judged(tmp_path)
    done = run.run(tmp_path / "acme.toml", tmp_path / "build", strict=False, accepting=True, as_json=False)
    assert done == exit_codes.BAD_INPUT
    assert "[default-key]" in capsys.readouterr().out


@pytest.mark.parametrize(("strict", "code"), [(False, exit_codes.OK), (True, exit_codes.DIFFERS)])
def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str], strict: bool, code: int) -> None:
    """CI would pass what it should stop, or stop at every note."""
    judged(tmp_path, gate='"8.8.8.0/24",')
    assert run.run(tmp_path / "acme.toml", tmp_path / "build", strict=strict, accepting=False, as_json=True) == code
    facts = json.loads(capsys.readouterr().out)
    assert [(one["rule"], one["level"], one["line"]) for one in facts["findings"]] == [("public-prefix", "warning", 9)]


def test_a_broken_inventory_is_told_like_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that judges an inventory would be the one that cannot speak of it."""
    path = tmp_path / "acme.toml"
    path.write_text(HEAD.replace("GATE", '"192.168.10.1/24"').replace("ALICE", ""))
    assert run.run(path, tmp_path / "build", strict=False, accepting=False, as_json=False) == exit_codes.BAD_INPUT
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{path}:9: ")
    assert "host bits" in said[0]


def test_merge_marks_in_a_baseline_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of what was accepted would be forgotten, or the marks be called unused lines."""
    judged(tmp_path)
    (tmp_path / "acme.baseline").write_text("<<<<<<< HEAD\na b\n=======\n>>>>>>> x\n")
    run.run(tmp_path / "acme.toml", tmp_path / "build", strict=False, accepting=False, as_json=False)
    assert capsys.readouterr().out.startswith(f"{tmp_path}/acme.baseline:1: holds the marks of a merge")


def test_the_document_lists_every_rule() -> None:
    """Who accepts a finding by its name could not look up what it means."""
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "lint.md").read_text(), re.MULTILINE))
    source = "".join(path.read_text() for path in (ROOT / "rustun" / "ops" / "linting").glob("*.py"))
    named = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source)) | {"expired", "expiring"}
    assert documented == named
