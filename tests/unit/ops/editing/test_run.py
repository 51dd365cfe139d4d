"""Editing an inventory: what is asked for happens whole or not at all, and what follows is shown."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rustun.config.keys import new_private_key, new_psk, public_key_of
from rustun.ops import exit_codes
from rustun.ops.editing import files as editing_files
from rustun.ops.editing import run
from rustun.ops.editing.run import Order
from rustun.ops.keyfiles import write_key

ROOT = Path(__file__).resolve().parents[4]
FLEET = """\
[fleet]
name = "acme"
servers = [{ address = "198.18.0.1:8080" }]

[cluster.red]
network = "10.0.1.0/24"

[cluster.red.member.alice]   # away on Fridays
address = "10.0.1.2"
ciders = ["192.168.1.0/24"]

[cluster.red.member.bob]
exit_node = "alice"

[lab.host.printer]
behind = "alice"
address = "192.168.1.7"

[lab.nat.home]
before = ["alice"]           # and whoever moves in

[lab.link.printer-alice]
delay = "1ms"
"""


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Return an order on a small inventory of one file."""
    (tmp_path / "acme.toml").write_text(FLEET)
    return Order(tmp_path / "acme.toml", tmp_path / "build")


def values(order: Order) -> Any:
    """Return what the inventory says."""
    return tomllib.loads(order.inventory.read_text())


EDITS: dict[str, tuple[Callable[[Order], int], Callable[[Any], object], object]] = {
    "add a member": (
        lambda order: run.add_member(order, "red", "carol", ["ciders=10.9.0.0/16,10.8.0.0/16", "mtu=1400", "name=C"]),
        lambda found: found["cluster"]["red"]["member"]["carol"],
        {"ciders": ["10.9.0.0/16", "10.8.0.0/16"], "mtu": 1400, "name": "C"},
    ),
    "add a mapping": (
        lambda order: run.edit_member(order, "alice", ["cider_mapping=192.168.1.0/24=192.168.9.0/24"]),
        lambda found: found["cluster"]["red"]["member"]["alice"]["cider_mapping"],
        {"192.168.1.0/24": "192.168.9.0/24"},
    ),
    "more and less of a list": (
        lambda order: run.edit_member(
            order, "alice", [], ["ciders=10.9.0.0/16"], ["ciders=192.168.1.0/24"], ["address"]
        ),
        lambda found: found["cluster"]["red"]["member"]["alice"],
        {"ciders": ["10.9.0.0/16"]},
    ),
    "switch off": (
        lambda order: run.enable_member(order, "bob", enabled=False),
        lambda found: found["cluster"]["red"]["member"]["bob"],
        {"exit_node": "alice", "enabled": False},
    ),
    "remove": (
        lambda order: run.remove_member(order, "bob", yes=True),
        lambda found: list(found["cluster"]["red"]["member"]),
        ["alice"],
    ),
    "a new cluster": (
        lambda order: run.add_cluster(order, "blue", ["network=10.0.2.0/24", "network6=fd00:2::/64"]),
        lambda found: found["cluster"]["blue"],
        {"network": "10.0.2.0/24", "network6": "fd00:2::/64"},
    ),
}


@pytest.mark.parametrize("name", [name for name in EDITS if name != "more and less of a list"])
def test_what_was_asked_for_is_what_the_inventory_says(order: Order, name: str) -> None:
    """An operator would deploy something else than was typed."""
    edit, look, expected = EDITS[name]
    assert edit(order) == exit_codes.OK
    assert look(values(order)) == expected
    assert "[cluster.red.member.alice]   # away on Fridays" in order.inventory.read_text()


def test_an_edit_that_breaks_the_inventory_is_refused_with_its_reason(
    order: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next gen-config, perhaps somebody else's, would find a broken inventory."""
    edit, _, _ = EDITS["more and less of a list"]
    assert edit(order) == exit_codes.BAD_INPUT  # the printer stands in the LAN that goes
    assert order.inventory.read_text() == FLEET
    said = capsys.readouterr().err
    assert said.startswith(f"{order.inventory}:")
    assert 'lab.host.printer.address: 192.168.1.7 is in no LAN of "alice"' in said


def test_a_dry_run_shows_everything_and_writes_nothing(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """Looking first would be the same as doing."""
    dry = Order(order.inventory, order.build, dry=True)
    assert run.add_member(dry, "red", "carol", []) == exit_codes.OK
    assert order.inventory.read_text() == FLEET
    said = capsys.readouterr().out
    assert "+[cluster.red.member.carol]" in said
    assert "  + client-carol.toml" in said
    assert "  + secrets/members/carol.key  will be generated" in said
    assert not order.build.exists()


def test_facts_for_machines(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """A script would have to read what is written for people."""
    assert run.remove_member(Order(order.inventory, order.build, as_json=True), "bob", yes=True) == exit_codes.OK
    facts = json.loads(capsys.readouterr().out)
    assert (facts["written"], facts["changed"]) == (True, [str(order.inventory)])


def test_removing_asks_and_takes_silence_for_no(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """A member would be cut off by a slip."""
    assert run.remove_member(order, "bob", yes=False) == exit_codes.BAD_INPUT
    assert order.inventory.read_text() == FLEET
    assert "write --yes" in capsys.readouterr().err


def test_everything_that_names_a_member_is_told_at_once(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator would take them out one after another, and meet the policy only at the next gen-config."""
    policy = order.inventory.with_suffix(".policy")
    policy.write_text("bob can reach alice\n")
    text = FLEET.replace('exit_node = "alice"', 'exit_node = "alice"\nkill_switch = true')
    order.inventory.write_text(text.replace("[cluster.red]\n", '[tag.far]\nexit_node = "alice"\n\n[cluster.red]\n'))
    before = order.inventory.read_bytes()
    assert run.remove_member(order, "alice", yes=True) == exit_codes.BAD_INPUT
    assert capsys.readouterr().err == (
        f'{order.inventory}:6: tag.far.exit_node: is "alice"\n'
        "  name another exit node, or take the line out\n"
        f'{order.inventory}:16: cluster.red.member.bob.exit_node: is "alice"\n'
        "  ./invoke edit-member bob --unset exit_node --unset kill_switch, or --set exit_node=ANOTHER\n"
        f'{order.inventory}:20: lab.host.printer.behind: is "alice"\n'
        "  put it behind another member, or take its table out\n"
        f'{order.inventory}:24: lab.nat.home.before: is "alice"\n'
        "  take it out of the list, or the router where that leads to nobody else\n"
        f'{order.inventory}:26: lab.link.printer-alice: is "alice"\n'
        "  take the link's table out\n"
        f'{policy}:1: there is no member or cluster "alice"\n'
        "  known here: bob, red\n"
        "remove-member: 6 problems; nothing was written\n"
    )
    assert order.inventory.read_bytes() == before
    assert run.edit_member(order, "bob", [], unset=["exit_node", "kill_switch"]) == exit_codes.OK, "what it says works"


def test_an_edit_that_breaks_a_policy_says_so(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """The next gen-config, perhaps somebody else's, would stop for a member that was switched off."""
    policy = order.inventory.with_suffix(".policy")
    policy.write_text("bob can reach 192.168.1.7\n")
    assert run.enable_member(order, "alice", enabled=False) == exit_codes.OK
    said = capsys.readouterr().err
    assert said.startswith(f'{policy}:1: "bob can reach 192.168.1.7" does not hold\n')
    assert said.endswith("  gen-config and deploy stop there: mend the policy too, or the inventory otherwise\n")
    assert run.enable_member(order, "alice", enabled=True) == exit_codes.OK
    assert capsys.readouterr().err == ""
    policy.write_text("bob can reach alice\n")
    assert run.rename_member(replace(order, as_json=True), "alice", "al") == exit_codes.OK
    told = json.loads(capsys.readouterr().out)["warnings"]
    assert told[-2] == f'{policy}:1: there is no member or cluster "alice"\n  known here: al, bob, red'


def test_an_edit_that_moves_somebody_else_says_so(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be seen in the plan at best, among all that is meant to change; and each edit would repeat the old."""
    order.inventory.with_suffix(".lock").write_text('[given.red]\nbob = ["10.0.1.7"]\n')
    assert run.edit_member(order, "alice", ["address=10.0.1.7"]) == exit_codes.OK
    said = capsys.readouterr().err
    assert said.startswith(f"{order.inventory}:9: warning: cluster.red.member.alice.address: 10.0.1.7 is recorded for ")
    assert run.edit_member(order, "alice", ["mtu=1400"]) == exit_codes.OK
    assert "recorded" not in capsys.readouterr().err


def test_a_new_name_is_told_to_everybody_and_keeps_address_and_key(order: Order) -> None:
    """A rename would be a new member with another address and another key, and an exit node nobody has."""
    keys = order.build / "acme" / "secrets" / "members"
    keys.mkdir(parents=True)
    write_key(keys / "alice.key", new_private_key())
    assert run.rename_member(order, "alice", "al") == exit_codes.OK
    assert (keys / "al.key").samefile(keys / "alice.key")
    found = values(order)
    assert found["lab"] == {
        "host": {"printer": {"behind": "al", "address": "192.168.1.7"}},
        "nat": {"home": {"before": ["al"]}},
        "link": {"printer-al": {"delay": "1ms"}},
    }
    assert "# and whoever moves in" in order.inventory.read_text()
    assert found["cluster"]["red"]["member"] == {
        "al": {"address": "10.0.1.2", "ciders": ["192.168.1.0/24"]},
        "bob": {"exit_node": "al"},
    }


def test_a_renamed_member_keeps_its_pre_shared_key(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """The server would get another one than the member's host has; or it is said that one is made."""
    public = public_key_of(new_private_key())
    assert run.edit_member(order, "alice", ["psk=true", f"public_key={public}"]) == exit_codes.OK
    psks = order.build / "acme" / "secrets" / "psks"
    psks.mkdir(parents=True)
    write_key(psks / "alice.psk", new_psk())
    capsys.readouterr()
    assert run.rename_member(order, "alice", "al") == exit_codes.OK
    assert (psks / "al.psk").samefile(psks / "alice.psk")
    assert "will be generated" not in capsys.readouterr().out


def test_a_fleet_whose_files_are_elsewhere_keeps_its_keys_too(order: Order) -> None:
    """A rename, or a step of a rotation, would look for keys in the usual folder, and make new ones."""
    elsewhere = order.inventory.parent / "elsewhere"
    (elsewhere / "secrets" / "members").mkdir(parents=True)
    write_key(elsewhere / "secrets" / "members" / "alice.key", new_private_key())
    assert run.rename_member(Order(order.inventory, order.build, elsewhere), "alice", "al") == exit_codes.OK
    assert (elsewhere / "secrets" / "members" / "al.key").exists()


def test_a_new_member_does_not_come_by_the_key_of_an_earlier_one(
    order: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever stole the host of a member that was removed would be in again as soon as its name is."""
    keys = order.build / "acme" / "secrets" / "members"
    keys.mkdir(parents=True, mode=0o700)
    write_key(keys / "carol.key", new_private_key())
    before = order.inventory.read_bytes()
    assert run.add_member(order, "red", "carol", []) == exit_codes.BAD_INPUT
    said = capsys.readouterr().err
    assert 'carol.key is there from an earlier "carol": whoever has that key would come in' in said
    assert "--set key=2 makes a new one" in said
    assert order.inventory.read_bytes() == before
    assert run.add_member(order, "red", "carol", ["key=2"]) == exit_codes.OK
    assert run.remove_member(order, "carol", yes=True) == exit_codes.OK
    assert run.add_member(order, "red", "carol", ["key=1"]) == exit_codes.OK
    own = public_key_of(new_private_key())
    write_key(keys / "dave.key", new_private_key())
    assert run.add_member(order, "red", "dave", [f"public_key={own}"]) == exit_codes.OK  # its own: the file is not used


def test_a_renamed_member_takes_nobody_elses_key(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be shut out, and whoever has the key of an earlier member of that name be let in."""
    keys = order.build / "acme" / "secrets" / "members"
    keys.mkdir(parents=True, mode=0o700)
    write_key(keys / "alice.key", new_private_key())
    write_key(keys / "al.key", new_private_key())
    before = order.inventory.read_bytes()
    assert run.rename_member(order, "alice", "al") == exit_codes.BAD_INPUT
    assert "al.key is there from an earlier" in capsys.readouterr().err
    assert order.inventory.read_bytes() == before
    (keys / "al.key").unlink()
    assert run.rename_member(order, "alice", "al") == exit_codes.OK
    assert run.rename_member(order, "al", "alice") == exit_codes.OK  # and back: the same key


def test_a_renamed_member_keeps_what_was_given_to_it(order: Order) -> None:
    """Its host would get another address, or a key that nobody knows."""
    first = Order(order.inventory, order.build)
    lock = order.inventory.with_suffix(".lock")
    lock.write_text('[given.red]\nbob = ["10.0.1.77"]\n')
    assert run.rename_member(first, "bob", "bobby") == exit_codes.OK
    assert tomllib.loads(lock.read_text())["given"]["red"] == {"bobby": ["10.0.1.77"]}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda o: run.add_member(o, "red", "alice", []), 'member "alice" is there already'),
        (lambda o: run.add_member(o, "rde", "carol", []), 'there is no cluster "rde"\n  did you mean red?'),
        (lambda o: run.add_cluster(o, "red", []), 'cluster "red" is there already'),
        (lambda o: run.add_cluster(o, "blue", []), 'cluster "blue" has no network\n  as in --set network='),
        (lambda o: run.edit_member(o, "alcie", ["mtu=1400"]), 'there is no member "alcie"\n  did you mean alice?'),
        (lambda o: run.edit_member(o, "alice", []), "nothing to change of alice"),
        (lambda o: run.edit_member(o, "alice", ["mtu"]), '"mtu" is not KEY=VALUE'),
        (lambda o: run.edit_member(o, "alice", [], unset=["mtu"]), 'member "alice" has no mtu'),
        (lambda o: run.edit_member(o, "alice", [], (), ["ciders=10.0.0.0/8"]), 'ciders does not hold "10.0.0.0/8"'),
        (lambda o: run.edit_member(o, "alice", ["cider_mapping=10.0.0.0/8"]), "a mapping is SEEN=REAL"),
        (lambda o: run.edit_member(o, "alice", ["mtuu=1400"]), "is not a known key\n  did you mean mtu?"),
        (lambda o: run.edit_member(o, "alice", ["mtu=large"]), "mtu"),
        (lambda o: run.rename_member(o, "alice", "bob"), 'member "bob" is there already'),
    ],
)
def test_a_slip_is_named_and_nothing_is_written(
    order: Order, capsys: pytest.CaptureFixture[str], edit: Callable[[Order], int], said: str
) -> None:
    """A typing error would end in a traceback, or in an inventory that says something else."""
    assert edit(order) == exit_codes.BAD_INPUT
    assert said in capsys.readouterr().err
    assert order.inventory.read_text() == FLEET


def test_a_change_made_in_an_editor_meanwhile_is_not_written_over(
    order: Order, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who saves the file by hand between our reading and writing would lose the change."""
    write = editing_files._write_draft

    def save_first(file: Path, draft: Path, text: str) -> None:
        order.inventory.write_text(FLEET + "# mine\n")
        write(file, draft, text)

    monkeypatch.setattr(editing_files, "_write_draft", save_first)
    assert run.remove_member(order, "bob", yes=True) == exit_codes.ENVIRONMENT
    assert "somebody else changed it meanwhile" in capsys.readouterr().err
    assert order.inventory.read_text() == FLEET + "# mine\n"


def test_no_room_leaves_the_old_files_whole(
    order: Order, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk would cut the inventory off in the middle."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(order.inventory))

    monkeypatch.setattr(os, "fsync", full)
    assert run.remove_member(order, "bob", yes=True) == exit_codes.ENVIRONMENT
    assert "No space left on device" in capsys.readouterr().err
    assert order.inventory.read_text() == FLEET
    assert sorted(path.name for path in order.inventory.parent.iterdir()) == ["acme.toml"]


def test_ctrl_c_waits_for_the_last_file(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename would stand in one file and not in the other."""
    lock = order.inventory.with_suffix(".lock")
    lock.write_text('[given.red]\nbob = ["10.0.1.77"]\n')
    replace, times = os.replace, []

    def interrupted(draft: Path, file: Path) -> None:
        replace(draft, file)
        times.append(file)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(os, "replace", interrupted)
    assert run.rename_member(order, "bob", "bobby") == exit_codes.INTERRUPTED
    assert len(times) == 2
    assert "bobby" in values(order)["cluster"]["red"]["member"]
    assert tomllib.loads(lock.read_text())["given"]["red"] == {"bobby": ["10.0.1.77"]}


def test_a_member_goes_where_its_cluster_stands_and_a_cluster_gets_a_file(tmp_path: Path) -> None:
    """In a folder, the next reader would look for it in vain."""
    (tmp_path / "fleet.toml").write_text(FLEET.partition("[cluster.red]")[0])
    (tmp_path / "red.toml").write_text('[cluster.red]\nnetwork = "10.0.1.0/24"\n')
    order = Order(tmp_path, tmp_path / "build")
    assert run.add_member(order, "red", "alice", []) == exit_codes.OK
    assert run.add_cluster(order, "blue", ["network=10.0.2.0/24"]) == exit_codes.OK
    assert tomllib.loads((tmp_path / "red.toml").read_text())["cluster"]["red"]["member"] == {"alice": {}}
    assert (tmp_path / "blue.toml").read_text() == '[cluster.blue]\nnetwork = "10.0.2.0/24"\n'


def test_the_tasks_take_what_the_help_promises(tmp_path: Path) -> None:
    """A command of the documents would not run."""
    (tmp_path / "acme.toml").write_text(FLEET)
    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "add-member", "red", "carol"]
    command += ["--set", "ciders=10.9.0.0/16", "--set", "mtu=1400", "--dry-run", "--inventory", "acme.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "+mtu = 1400" in done.stdout
