"""plan, deploy, rollback and status as an operator sees them, on hosts in memory."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rustun.ops.deploy import deploying, plan, status
from rustun.ops.deploy.deploying import Manner
from tests.unit.ops.deploy.fleet import Fleet, TwinTarget, target

YES = Manner(yes=True)
AS_JSON = Manner(yes=True, as_json=True)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the JSON that a task printed."""
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def text(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the text that a task printed, without times."""
    return re.sub(r"\d+\.\d s", "N s", capsys.readouterr().out)


def look_at(fleet: Fleet, limit: str = "", **options: bool) -> int:
    """Show a plan."""
    said = {"as_json": False, "diff": False, "offline": False, "check": False, **options}
    return plan.run(target(fleet, limit), **said)


def test_a_plan_says_what_changes_and_who_notices(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator would only find out by doing it."""
    fleet.members["bj-a"] = 'address = "10.0.1.1"\nciders = ["192.168.3.0/24"]'
    fleet.members["bj-c"] = ""
    del fleet.members["bj-b"]
    before = {name: dict(host.files()) for name, host in fleet.hosts.items()}
    assert look_at(fleet) == 0
    shown = text(capsys)
    assert "~ member  beijing/bj-a" in shown
    assert "ciders + 192.168.3.0/24" in shown
    assert "session stays; 1 peer gets 1 route" in shown
    assert "- member  beijing/bj-b" in shown
    assert "its session ends, key retired" in shown
    assert "+ host    bj-c" in shown
    assert "- host    bj-b" in shown
    assert "who notices: beijing (1 peer gets 1 route), bj-b (cut off), bj-c (starts), nobody else\n" in shown
    assert shown.endswith("apply with: ./invoke deploy        details: ./invoke plan --diff\n")
    assert {name: dict(host.files()) for name, host in fleet.hosts.items() if name in before} == before
    assert look_at(fleet, check=True) == 3


def test_a_host_that_does_not_answer_is_told_in_lines_of_its_own(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table would be as wide as what ssh says, and a plan with nothing to do would ask to be applied."""
    fleet.down.add("bj-b")
    assert look_at(fleet) == 5
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  ! host  bj-b  unreachable  left as it is",
        "  = 2 hosts unchanged",
        "bj-b: Connection timed out",
        "  is it up?",
        "who notices: nobody",
    ]


@pytest.mark.parametrize("key", ["[1, 2]", "[2, 1]", "2"])
def test_a_plan_of_a_rotation_fits_a_terminal(fleet: Fleet, capsys: pytest.CaptureFixture[str], key: str) -> None:
    """Lines would wrap, and the table be no table."""
    long = "bj-office-gw"
    fleet.members = {long: f"key = {key if key != '2' else '[2, 1]'}"}
    assert deploying.deploy(target(fleet), YES) == 0
    fleet.members = {long: f"key = {key}\nmtu = 1400"}
    capsys.readouterr()
    look_at(fleet)
    shown = capsys.readouterr().out.splitlines()[1:]
    assert [line for line in shown if len(line) > 100] == []


def test_what_holds_up_several_hosts_is_told_once(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """The same would stand there for each of a hundred hosts, and a script would take the plan for one that works."""
    fleet.wheels.digest_now, fleet.wheels.missing = "release2", "no wheels for Linux armv6l"
    fleet.members["bj-b"] = "[cluster.beijing.member.bj-tablet]"
    assert look_at(fleet) == 5
    shown = capsys.readouterr()
    assert shown.out.count("no wheels") == 1
    assert "\nserver, bj-a, bj-b: no wheels for Linux armv6l\n" in shown.out
    assert "without ssh, deployed by hand: bj-tablet\n" in shown.err


def test_a_plan_of_nothing(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """CI could not tell a fleet that is as it should be."""
    assert look_at(fleet, check=True) == 0
    assert text(capsys) == f"inventory -> {fleet.folder / 'build'} and 3 hosts\n  = 3 hosts unchanged\n"


def test_a_plan_without_hosts(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A merge could not be checked where no host is in reach."""
    fleet.down |= {"server", "bj-a", "bj-b"}
    fleet.members["bj-c"] = ""
    assert look_at(fleet, offline=True, check=True, as_json=True) == 3
    document = told(capsys)
    assert {Path(file["name"]).name for file in document["files"]} >= {"routes.json", "client-bj-c.toml"}
    assert document["new_secrets"] == ["secrets/members/bj-c.key"]
    assert [change["identity"] for change in document["members"]] == ["bj-c"]
    assert document["hosts"] == []


def test_a_diff_shows_no_secret(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys would stand in a terminal, a log of CI, or a ticket."""
    fleet.members["bj-a"] = "mtu = 1400\nkey = 2"
    edited = Path(fleet.host("server").at("/etc/rustun/server.toml"))
    edited.write_text(edited.read_text() + '[crypto_config]\nchacha20poly1305 = "hidden-word"\n')
    assert look_at(fleet, diff=True) == 0
    shown = capsys.readouterr().out
    assert "+mtu = 1400" in shown
    assert "root@bj-a:/etc/rustun/secrets/members/bj-a@2.key: a secret comes, or changes" in shown
    assert "-chacha20poly1305 = (not shown)" in shown
    keys = [path.read_text().strip() for path in fleet.folder.rglob("*.key")]
    assert keys
    assert not any(key in shown for key in (*keys, "hidden-word"))
    assert "/etc/rustun/server.toml was edited on the host" in shown


def test_a_diff_shows_each_change_once(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """What matters would hide among the lines of pictures, and of files that are shown again for their host."""
    fleet.members["bj-a"] = "mtu = 1400"
    fleet.members["bj-c"] = "mtu = 1399"
    path = fleet.write()
    path.write_text(path.read_text().replace('ssh = "root@bj-c"\n', ""))
    aim = TwinTarget(path, fleet.folder / "build", fleet.folder, fleet=fleet)
    assert plan.run(aim, as_json=False, diff=True, offline=False, check=False) == 0
    shown = capsys.readouterr().out
    assert shown.count("+mtu = 1400\n") == shown.count("+mtu = 1399\n") == 1  # the second is deployed by hand
    assert "+++ root@bj-a:/etc/rustun/client-bj-a.toml\n" in shown
    assert "+++ b/client-bj-c.toml\n" in shown
    assert "<svg" not in shown


def test_nobody_to_ask_changes_nothing(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that forgot --yes would deploy, or hang for ever."""
    fleet.members["bj-a"] = "mtu = 1400"
    assert deploying.deploy(target(fleet), Manner()) == 2
    assert "nobody is here to be asked" in capsys.readouterr().err
    assert fleet.host("bj-a").commands[-1].startswith("restart")  # of the first deployment


def test_a_deployment_reports_each_host(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator would not know which hosts are as wished."""
    fleet.members["bj-a"] = "mtu = 1400"
    fleet.down.add("bj-b")
    assert deploying.deploy(target(fleet), AS_JSON) == 5
    document = told(capsys)
    assert [(host["names"], host["result"]) for host in document["hosts"]] == [(["bj-a"], "done")]
    assert document["unreachable"] == {"root@bj-b": "Connection timed out"}
    assert document["unchanged"] == ["root@server"]
    fleet.down.clear()
    assert deploying.deploy(target(fleet), YES) == 0
    assert text(capsys).endswith("deploy: 3 unchanged, N s\n")


def test_a_failure_says_why_and_what_was_put_back(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator would have to log in to a host to learn what happened."""
    unit = "rustun-client@bj-a.service"
    fleet.members["bj-a"] = "mtu = 1400"
    host = fleet.host("bj-a")
    host.status[unit] = {"role": "client", "identity": "bj-a", "state": "refused", "last_error": "wrong key"}
    assert deploying.deploy(target(fleet), YES) == 5
    shown = text(capsys)
    assert f"{unit}: has no tunnel: refused, wrong key, after 20 s\n" in shown
    assert "put back: it runs what it ran before\n" in shown
    assert shown.endswith("deploy: 1 failed, 2 unchanged, N s\n")


def test_going_back(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A change that turns out wrong would have to be undone by hand, on every host."""
    first = {name: dict(host.files()) for name, host in fleet.hosts.items()}
    fleet.members["bj-b"] = 'address = "10.0.1.7"\nmtu = 1400'
    assert deploying.deploy(target(fleet), YES) == 0
    capsys.readouterr()
    assert deploying.rollback(target(fleet), AS_JSON, None) == 0
    document = told(capsys)
    assert (document["what"], {host["names"][0] for host in document["hosts"]}) == ("rollback to 1", {"server", "bj-b"})
    for name, host in fleet.hosts.items():
        now = dict(host.files())
        assert {path: data for path, data in now.items() if "/deploy/" not in path} == {
            path: data for path, data in first[name].items() if "/deploy/" not in path
        }
    assert look_at(fleet, check=True) == 3  # the inventory says otherwise


def test_a_dry_run_of_going_back_touches_nobody(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Who only wanted to see what a rollback means would be rolled back, or have to trust it."""
    fleet.members["bj-b"] = "mtu = 1400"
    assert deploying.deploy(target(fleet), YES) == 0
    before = {name: dict(host.files()) for name, host in fleet.hosts.items()}
    capsys.readouterr()
    assert deploying.rollback(target(fleet), Manner(dry=True), None) == 0
    assert "~ host  bj-b  client-bj-b.toml" in capsys.readouterr().out
    assert deploying.rollback(target(fleet), Manner(as_json=True, dry=True), 1) == 0
    assert [host["names"] for host in told(capsys)["hosts"] if host["visits"]] == [["bj-b"]]
    assert {name: dict(host.files()) for name, host in fleet.hosts.items()} == before


def test_going_back_tells_who_is_stopped(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A rollback that switches a member off would be told as one that nobody notices."""
    fleet.members["bj-b"] = "enabled = false"
    assert deploying.deploy(target(fleet), YES) == 0
    assert "who notices: bj-b (cut off), nobody else\n" in capsys.readouterr().out
    fleet.members["bj-b"] = ""
    assert deploying.deploy(target(fleet), YES) == 0
    capsys.readouterr()
    assert deploying.rollback(target(fleet), YES, None) == 0
    assert "who notices: bj-b (stops), nobody else\n" in capsys.readouterr().out


def test_going_back_before_the_first(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip would be told as a traceback, or take everything away."""
    assert deploying.rollback(target(fleet), YES, None) == 2
    assert "there is no earlier deployment" in capsys.readouterr().err


def test_ctrl_c_begins_with_nobody_new(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A host would be left half way, or nobody would know how it is."""
    fleet.wheels.digest_now = "release2"  # one member first, then the other, then the server

    def interrupt(name: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    fleet.before_apply = interrupt
    assert deploying.deploy(target(fleet), AS_JSON) == 5
    results = {host["names"][0]: host["result"] for host in told(capsys)["hosts"]}
    assert results == {"bj-a": "done", "bj-b": "not begun", "server": "not begun"}
    fleet.before_apply = lambda name: None
    assert deploying.deploy(target(fleet), YES) == 0


def test_a_host_that_never_comes_back_is_forgotten_by_word_only(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine that was scrapped would be a failure of every deployment from then on, or one that is off be lost."""
    del fleet.members["bj-b"]
    fleet.down.add("bj-b")
    assert deploying.deploy(target(fleet), YES) == 5
    assert look_at(fleet) == 5
    assert "where it never comes back: ./invoke deploy --forget 'bj-b'\n" in capsys.readouterr().out
    aim = target(fleet)
    assert deploying.deploy(replace(aim, forget="bj-a"), YES) == 5  # that one is in the inventory
    assert deploying.deploy(replace(aim, forget="bj-b"), YES) == 0
    assert look_at(fleet, check=True) == 0


def test_keys_that_were_lost_here_are_not_exchanged_everywhere(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a fresh clone a deployment would make new keys for all, and those that are in use could not come back."""
    before = {name: dict(host.files()) for name, host in fleet.hosts.items()}
    shutil.move(fleet.folder / "build", fleet.folder / "elsewhere")
    assert deploying.deploy(target(fleet), YES) == 5
    shown = text(capsys)
    assert "server: /etc/rustun/secrets/server.key is another key than here (./invoke secrets-open)\n" in shown
    assert "who notices: nobody\n" in shown
    assert {name: dict(host.files()) for name, host in fleet.hosts.items()} == before
    assert not (fleet.folder / "build").exists()
    shutil.move(fleet.folder / "elsewhere", fleet.folder / "build")
    assert look_at(fleet, check=True) == 0


def test_who_moves_because_of_another_is_named(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A written address would move a site that nobody thought of, and firewalls there would find out."""
    fleet.members["bj-c"] = 'address = "10.0.1.1"'
    assert look_at(fleet) == 0
    warning = (
        f'{fleet.folder}/acme.toml:14: warning: cluster.beijing.member.bj-c.address: 10.0.1.1 is recorded for "bj-a", '
        'which gets 10.0.1.3 instead\n  write another one here, unless "bj-a" may move\n'
    )
    assert capsys.readouterr().err == warning
    assert look_at(fleet, as_json=True) == 0
    [one] = told(capsys)["warnings"]
    assert (one["line"], one["key"]) == (14, "cluster.beijing.member.bj-c.address")
    assert deploying.deploy(target(fleet), YES) == 0
    assert warning in capsys.readouterr().err
    assert look_at(fleet, check=True) == 0
    assert capsys.readouterr().err == "", "it is as it was decided"


def test_who_moves_by_its_own_line_is_no_warning(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Two members that exchange their addresses on purpose would be told that each drives the other out."""
    fleet.members["bj-a"], fleet.members["bj-b"] = 'address = "10.0.1.2"', 'address = "10.0.1.1"'
    assert look_at(fleet) == 0
    assert capsys.readouterr().err == ""


def test_what_a_host_tells_steers_no_terminal(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever has a member's host could write over what the operator reads about the others."""
    host = fleet.host("bj-a")
    pid = host.active["rustun-client@bj-a.service"]
    told = {"pid": pid, "version": "0.1.0\x1b[2J", "last_error": "\x1b[1Aall is well"}
    Path(host.at("/run/rustun/rustun-client@bj-a.service.sock")).write_text(json.dumps(told))
    Path(host.at("/etc/rustun/client-bj-a.toml")).write_text("\x1b]0;title\x07\n")
    assert status.run(target(fleet), as_json=False) == 0
    shown = capsys.readouterr().out
    assert look_at(fleet, diff=True) == 0
    shown += capsys.readouterr().out
    assert "\\x1b[1Aall is well" in shown
    assert "-\\x1b]0;title" in shown
    assert shown.replace("\n", "").isprintable()


def test_a_limit_that_names_nobody(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip in a pattern would look like a fleet that needs nothing."""
    assert look_at(fleet, limit="sh-*") == 2
    assert 'nobody is called "sh-*"' in capsys.readouterr().err
    assert look_at(fleet, limit="bj-c") == 2  # no server knows it, so it has not just left
    assert 'nobody is called "bj-c"\n  did you mean bj-' in capsys.readouterr().err
    assert look_at(fleet, limit="srver", offline=True) == 2
    assert 'nobody is called "srver"\n  did you mean server?\n' in capsys.readouterr().err


def test_who_is_switched_off_is_told_in_words(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """The table would show what steps are called inside, and take a service that stops for a note in a list."""
    fleet.members["bj-b"] = "enabled = false"
    assert look_at(fleet) == 0
    assert re.search(r"~ host    bj-b +service off +stops\n", text(capsys))


def test_a_broken_policy_touches_nobody_and_is_no_fault_of_this_machine(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI would take a change that opens a network for a machine that lacks something, and try again."""
    aim = target(fleet)
    (fleet.folder / "acme.policy").write_text("bj-a cannot reach bj-b\n")
    assert deploying.deploy(aim, YES) == 5
    said = capsys.readouterr().err
    assert '"bj-a cannot reach bj-b" does not hold' in said
    assert said.endswith("deploy: nothing was done\n  change the inventory or the policy: ./invoke policy-test\n")


def test_a_broken_inventory_touches_nobody(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Half an edit would be rolled out."""
    aim = target(fleet)
    aim.inventory.write_text("[fleet\n")
    assert deploying.deploy(aim, YES) == 2
    assert capsys.readouterr().err.endswith("deploy: nothing was done\n")
