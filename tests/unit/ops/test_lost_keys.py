"""rustun.ops.lost_keys: a key that others count on is not made anew by accident, and on purpose it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rustun.errors import ConfigError
from rustun.ops import generate
from rustun.ops.inventory import load_inventory
from rustun.ops.render import plan_render, write_plan

FLEET = '[fleet]\nname = "f"\nservers = [{ address = "a.example:1" }]\n'
MEMBERS = '[cluster.c]\nnetwork = "10.0.0.0/24"\n[cluster.c.member.m]\n[cluster.c.member.n]\n'
TWO, THREE = '{ name = "hk", address = "b.example:2"', '{ address = "c.example:3"'
SHARED = '[cluster.c.member.s]\ntier = "shared"\n'


def make(folder: Path, fleet: str = "", members: str = MEMBERS, head: str = FLEET) -> tuple[str, ...]:
    """Generate a fleet's files in `folder`/out and return which keys were made."""
    (folder / "fleet.toml").write_text(head + fleet + members)
    plan = plan_render(load_inventory(folder / "fleet.toml"), folder / "out")
    write_plan(plan)
    return plan.new_secrets


def refused(folder: Path, fleet: str = "", members: str = MEMBERS, head: str = FLEET) -> list[str]:
    """Return what is said of each lost key, having seen that nothing changed."""
    before = contents(folder / "out")
    with pytest.raises(ConfigError) as caught:
        make(folder, fleet, members, head)
    assert contents(folder / "out") == before
    for problem in caught.value.problems:
        assert (
            "put secrets/ back from its backup (./invoke secrets-open, where it was sealed); for a new one on purpose "
            in problem.remedy
        )
    names = [str(Path(problem.file).relative_to(folder / "out")) for problem in caught.value.problems]
    return [f"{name} {problem.reason}" for name, problem in zip(names, caught.value.problems, strict=True)]


def contents(folder: Path) -> dict[Path, bytes]:
    """Return every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_key_is_made_where_secrets_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Generating in another checkout would give the whole fleet new keys, and say that all is well."""
    make(tmp_path, members=MEMBERS + SHARED)
    shutil.rmtree(tmp_path / "out" / "secrets")
    assert refused(tmp_path, members=MEMBERS + SHARED) == [
        "secrets/shared.key is missing, but server.toml names it: a new key would shut out everybody who has it",
        "secrets/server.key is missing, but server.toml names it: a new key would shut out every client",
        'secrets/members/m.key is missing, but client-m.toml names it: a new key would shut out "m"',
        'secrets/members/n.key is missing, but client-n.toml names it: a new key would shut out "n"',
    ]
    for check in (False, True):
        inventory, out = tmp_path / "fleet.toml", tmp_path / "out"
        assert generate.run(inventory, out, tmp_path, check=check, diff=False, as_json=False) == 2
        assert "4 problems; nothing was written" in capsys.readouterr().err


def test_one_lost_key_stops_it(tmp_path: Path) -> None:
    """One deleted file would lock one member out, unnoticed."""
    make(tmp_path)
    (tmp_path / "out" / "secrets" / "members" / "n.key").unlink()
    [problem] = refused(tmp_path)
    assert problem.startswith("secrets/members/n.key is missing, but client-n.toml names it")


@pytest.mark.parametrize("lost", ["n.key", "n@2.key"])
def test_in_the_middle_of_a_rotation_either_key_is_missed(tmp_path: Path, lost: str) -> None:
    """The step that takes the old key away would take the only one that the member has."""
    make(tmp_path)
    assert make(tmp_path, "key = [1, 2]\n") == ("secrets/members/m@2.key", "secrets/members/n@2.key")
    (tmp_path / "out" / "secrets" / "members" / lost).unlink()
    [problem] = refused(tmp_path, "key = [1, 2]\n")
    assert problem.startswith(f"secrets/members/{lost} is missing, but client-n.toml names it")


def test_public_keys_tell_where_the_file_that_names_the_key_is_gone_too(tmp_path: Path) -> None:
    """A folder with routes.json alone, or with the clients' files alone, would be re-keyed."""
    make(tmp_path)
    out = tmp_path / "out"
    shutil.rmtree(out / "secrets")
    (out / "client-m.toml").unlink()
    (out / "server.toml").write_text("damaged <<<")
    told = refused(tmp_path)
    assert told[0].startswith("secrets/server.key is missing, but client-n.toml has a public key that fits no key file")
    assert told[1].startswith("secrets/members/m.key is missing, but routes.json has a public key that fits no key")


def test_each_server_misses_its_own_key(tmp_path: Path) -> None:
    """A second server's key would be made anew because the first one's is there, or a new server would get none."""
    two, three = (FLEET.replace(" }]", f" }}, {more} }}]") for more in (TWO, f"{TWO} }}, {THREE}"))
    make(tmp_path, head=two)
    (tmp_path / "out" / "secrets" / "hk.key").unlink()
    [problem] = refused(tmp_path, head=two)
    assert problem.startswith("secrets/hk.key is missing, but hk.toml names it")
    (tmp_path / "out" / "hk.toml").unlink()
    [problem] = refused(tmp_path, head=three)
    assert problem.startswith("secrets/hk.key is missing, but client-m.toml has a public key that fits no key file")
    for name in ("client-m.toml", "client-n.toml"):
        (tmp_path / "out" / name).unlink()
    assert make(tmp_path, head=three) == ("secrets/hk.key", "secrets/server-3.key")


def test_a_rotation_goes_on_without_the_files_that_name_the_keys(tmp_path: Path) -> None:
    """Somebody who lost nothing but generated files would be told of lost keys."""
    make(tmp_path)
    for name in ("server.toml", "client-m.toml"):
        (tmp_path / "out" / name).unlink()
    made = make(tmp_path, "key = [1, 2]\nserver_key = [1, 2]\n")
    assert made == ("secrets/server@2.key", "secrets/members/m@2.key", "secrets/members/n@2.key")


def test_what_the_remedies_say_gives_new_keys(tmp_path: Path) -> None:
    """An operator whose keys are gone for good could not go on, or would be told something that does not help."""
    make(tmp_path, members=MEMBERS + SHARED)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "out", kept)
    shutil.rmtree(tmp_path / "out" / "secrets")
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, members=MEMBERS + SHARED)
    shared, server, member, _ = (problem.remedy.split("on purpose ")[1] for problem in caught.value.problems)
    assert shared == "take server.toml away"
    assert (server, member) == ("write server_key = 2 into [fleet]", "write key = 2 for this member")
    (tmp_path / "out" / "server.toml").unlink()
    assert [told.split()[0] for told in refused(tmp_path, "key = 2\nserver_key = 1\n", MEMBERS + SHARED)] == [
        "secrets/server.key"
    ]
    shutil.copyfile(kept / "server.toml", tmp_path / "out" / "server.toml")
    made = make(tmp_path, "key = 2\nserver_key = 2\n")
    assert made == ("secrets/server@2.key", "secrets/members/m@2.key", "secrets/members/n@2.key")


@pytest.mark.parametrize(("gone", "namer"), [("", "client-m.toml"), ("client-m.toml", "routes.json")])
def test_a_pre_shared_key_is_missed_by_either_side(tmp_path: Path, gone: str, namer: str) -> None:
    """The server would get a key that the member does not have, and shut it out; or there were no way to a new one."""
    members = MEMBERS.replace("member.m]\n", "member.m]\npsk = true\n")
    assert "secrets/psks/m.psk" in make(tmp_path, members=members)
    (tmp_path / "out" / "secrets" / "psks" / "m.psk").unlink()
    if gone:
        (tmp_path / "out" / gone).unlink()
    assert refused(tmp_path, members=members) == [
        f'secrets/psks/m.psk is missing, but {namer} names it: a new key would shut out "m"'
    ]
    assert make(tmp_path, members=members.replace("true", "false")) == ()
    assert make(tmp_path, members=members) == ("secrets/psks/m.psk",)


def test_a_member_that_comes_back_to_the_key_tier_gets_a_key(tmp_path: Path) -> None:
    """A generated file from another time would be taken for a reason to make no key."""
    make(tmp_path, 'tier = "shared"\n')
    made = make(tmp_path)
    assert made == ("secrets/members/m.key", "secrets/members/n.key")


@pytest.mark.parametrize("text", ["", "[]", "{}", '[1, {"identity": 7}]', "<<<", '[{"identity":"m","public_key":[1]}]'])
def test_a_damaged_routes_file_tells_nothing(tmp_path: Path, text: str) -> None:
    """A file that nobody can read would end in a traceback."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "routes.json").write_text(text)
    assert make(tmp_path) == ("secrets/server.key", "secrets/members/m.key", "secrets/members/n.key")
