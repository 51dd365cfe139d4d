"""rustun.ops.generate: what `invoke gen-config` prints, and its exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rustun.ops import generate
from rustun.ops.editing.files import editing
from rustun.ops.editing.run import Order, rename_member
from rustun.ops.fleet import Inventory
from rustun.ops.inventory import load_inventory

FLEET = '[fleet]\nname = "f"\nservers = [{ address = "a.example:1" }]\n[cluster.c]\nnetwork = "10.0.0.0/24"\n'
DEMO = Path(__file__).resolve().parents[3] / "inventory" / "demo.toml"


def run(folder: Path, *, check: bool = False, diff: bool = False, as_json: bool = False) -> int:
    """Generate the demo's files below a folder as the task does."""
    return generate.run(DEMO, None, folder, check=check, diff=diff, as_json=as_json)


def test_check_writes_nothing_and_ends_with_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CI could not tell that somebody forgot to generate, or would write where it should only look."""
    assert run(tmp_path, check=True) == 3
    assert list(tmp_path.iterdir()) == []
    assert "12 to write" in capsys.readouterr().out
    assert run(tmp_path) == 0
    assert run(tmp_path, check=True) == 0
    assert "nothing to change" in capsys.readouterr().out


def test_json_holds_the_facts_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that reads the output would trip over words for people."""
    assert run(tmp_path, as_json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["schema"], facts["fleet"], facts["clusters"], facts["members"]) == (1, "demo", 2, 4)
    assert facts["written"] is True
    members = ("bj-office-gw", "bj-dev", "sh-office-gw", "sh-db")
    assert facts["new_secrets"] == ["secrets/server.key", *(f"secrets/members/{member}.key" for member in members)]
    assert {file["kind"] for file in facts["files"]} == {"new"}


def test_diffs_show_lines_and_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator could not see what changes, or would see a key on the screen."""
    assert run(tmp_path, diff=True) == 0
    out = capsys.readouterr().out
    assert '+    "identity": "bj-dev",' in out
    assert "--- /dev/null\n+++ b/server.toml\n" in out
    keys = [path.read_text().strip() for path in (tmp_path / "build" / "demo" / "secrets").rglob("*.key")]
    assert len(keys) == 5
    assert not any(key in out for key in keys)


def test_the_lock_file_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A member added in front would take the address of the next one, on every host but the one where it was added."""
    source, lock = tmp_path / "f.toml", tmp_path / "f.lock"

    def said(text: str, *, check: bool = False) -> tuple[int, dict[str, object]]:
        source.write_text(FLEET + text)
        code = generate.run(source, None, tmp_path, check=check, diff=False, as_json=True)
        return code, json.loads(capsys.readouterr().out)

    def routes() -> dict[str, str]:
        entries = json.loads((tmp_path / "build" / "f" / "routes.json").read_text())
        return {entry["identity"]: entry["private_ip"] for entry in entries}

    code, facts = said("[cluster.c.member.m]\n", check=True)
    assert (code, facts["lock"], lock.exists()) == (3, {"name": str(lock), "kind": "new"}, False)
    assert said("[cluster.c.member.m]\n")[0] == 0
    assert said("[cluster.c.member.m]\n", check=True)[0] == 0
    two = "[cluster.c.member.a]\n[cluster.c.member.m]\n"
    lost = lock.read_bytes()
    code, facts = said(two)
    assert (code, facts["lock"]) == (0, {"name": str(lock), "kind": "changed"})
    assert routes() == {"a": "10.0.0.2", "m": "10.0.0.1"}
    lock.write_bytes(lost)
    code, facts = said(two, check=True)
    assert (code, facts["current"]) == (3, False), "the lock alone is not current"
    assert said(two)[0] == 0
    said("[cluster.c.member.n]\n[cluster.c.member.a]\n")
    assert routes() == {"n": "10.0.0.3", "a": "10.0.0.2"}
    assert '[released.c]\n"10.0.0.1"' in lock.read_text()


def test_a_rename_while_files_are_generated_keeps_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lock file of before would be written over that of the rename, and the member get another address."""
    source, lock = tmp_path / "f.toml", tmp_path / "f.lock"
    source.write_text(f"{FLEET}[cluster.c.member.a]\n")
    assert generate.run(source, None, tmp_path, check=False, diff=False, as_json=False) == 0
    source.write_text(f"{FLEET}[cluster.c.member.a]\n[cluster.c.member.b]\n")

    def and_somebody_renames(path: Path) -> Inventory:
        found = load_inventory(path)
        monkeypatch.undo()
        assert rename_member(Order(source, tmp_path / "build"), "a", "z") == 0
        return found

    monkeypatch.setattr("rustun.ops.generation.load_inventory", and_somebody_renames)
    assert generate.run(source, None, tmp_path, check=False, diff=False, as_json=False) == 4
    assert "f.lock: somebody else changed it meanwhile" in capsys.readouterr().err
    assert 'z = ["10.0.0.1"]' in lock.read_text()


def test_a_fleet_whose_addresses_are_written_needs_no_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every inventory would get a file that says nothing."""
    (tmp_path / "f.toml").write_text(DEMO.read_text())
    assert generate.run(tmp_path / "f.toml", None, tmp_path, check=False, diff=False, as_json=False) == 0
    assert not (tmp_path / "f.lock").exists(), "its IPv6 addresses follow from the written ones"
    (tmp_path / "f.toml").write_text(DEMO.read_text().replace('address = "10.0.1.2"', 'address6 = "fd00:1::1"'))
    assert generate.run(tmp_path / "f.toml", None, tmp_path, check=False, diff=True, as_json=False) == 0
    assert f"+++ b/{tmp_path}/f.lock\n" in capsys.readouterr().out
    assert (tmp_path / "f.lock").read_text().splitlines()[2:] == [
        "[given.beijing]", 'bj-dev = ["10.0.1.2"]', 'bj-office-gw = ["fd00:1::2"]',
    ]  # fmt: skip


def test_an_editor_at_work_is_not_overtaken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs at once would each keep half of the addresses."""
    (tmp_path / "f.toml").write_text(DEMO.read_text().replace('address = "10.0.1.2"', ""))
    with editing(tmp_path / "f.toml"):
        assert generate.run(tmp_path / "f.toml", None, tmp_path, check=False, diff=False, as_json=False) == 4
    assert "somebody else is editing here" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["f.toml"]


def test_a_broken_inventory_ends_with_two_and_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake would show as a traceback, or one problem per run."""
    broken = tmp_path / "broken.toml"
    broken.write_text('[fleet]\nnam = "x"\n[clusters.a]\n')
    assert generate.run(broken, None, tmp_path, check=False, diff=False, as_json=False) == 2
    err = capsys.readouterr().err
    assert "4 problems; nothing was written" in err
    assert "did you mean name?" in err


def test_a_folder_that_cannot_be_written_ends_with_four(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong --out would end in a traceback."""
    (tmp_path / "file").write_text("")
    assert generate.run(DEMO, tmp_path / "file" / "x", tmp_path, check=False, diff=False, as_json=False) == 4
    assert "Not a directory" in capsys.readouterr().err


def test_what_breaks_a_policy_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A change that lets somebody in would replace good files, and be deployed."""
    inventory = tmp_path / "demo.toml"
    inventory.write_text(DEMO.read_text())
    (tmp_path / "demo.policy").write_text("nobody in beijing can reach shanghai\n")
    assert generate.run(inventory, tmp_path / "out", tmp_path, check=False, diff=False, as_json=False) == 0
    before = (tmp_path / "out" / "routes.json").read_bytes()
    (tmp_path / "demo.policy").write_text("nobody can reach 192.168.10.0/24\n")
    inventory.write_text(DEMO.read_text() + "[cluster.beijing.member.bj-new]\n")
    assert generate.run(inventory, tmp_path / "out", tmp_path, check=False, diff=False, as_json=False) == 5
    said = capsys.readouterr().err
    assert f'{tmp_path}/demo.policy:1: "nobody can reach 192.168.10.0/24" does not hold\n' in said
    assert "nothing was written" in said
    assert (tmp_path / "out" / "routes.json").read_bytes() == before


def test_who_deletes_what_is_generated_keeps_the_keys(tmp_path: Path) -> None:
    """Cleaning up build/ would lock every member out."""
    inventory = tmp_path / "demo.toml"
    inventory.write_text(DEMO.read_text())

    def generated() -> bytes:
        assert generate.run(inventory, None, tmp_path, check=False, diff=False, as_json=False) == 0
        return (tmp_path / "build" / "demo" / "routes.json").read_bytes()

    before = generated()
    assert (tmp_path / "secrets" / "demo" / "server.key").exists()
    shutil.rmtree(tmp_path / "build")
    assert generated() == before
    assert (tmp_path / "build" / "demo" / "secrets").resolve() == (tmp_path / "secrets" / "demo").resolve()


def test_keys_of_before_stay_where_they_are(tmp_path: Path) -> None:
    """A fleet whose keys are in build/ would get new ones beside them."""
    inventory = tmp_path / "demo.toml"
    inventory.write_text(DEMO.read_text())
    (tmp_path / "build" / "demo" / "secrets").mkdir(parents=True, mode=0o700)
    assert generate.run(inventory, None, tmp_path, check=False, diff=False, as_json=False) == 0
    assert (tmp_path / "build" / "demo" / "secrets" / "server.key").exists()
    assert not (tmp_path / "secrets").exists()


def test_keys_that_are_sealed_are_not_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a fresh clone the first gen-config would make other keys than the hosts have."""
    inventory = tmp_path / "acme.toml"
    inventory.write_text(DEMO.read_text())
    sealed = tmp_path / "acme.keys.age"
    sealed.write_bytes(b"age-encryption.org/v1")

    def again() -> int:
        return generate.run(inventory, tmp_path / "out", tmp_path, check=False, diff=False, as_json=False)

    assert again() == 2
    said = capsys.readouterr().err
    assert f"{sealed}: holds the keys, and there is none outside it\n  ./invoke secrets-open" in said
    assert not (tmp_path / "out").exists()
    sealed.unlink()
    assert again() == 0
    sealed.write_bytes(b"age-encryption.org/v1")
    (tmp_path / "out" / "secrets" / "members" / "bj-dev.key").unlink()
    (tmp_path / "out" / "client-bj-dev.toml").unlink()
    (tmp_path / "out" / "routes.json").unlink()
    assert again() == 0  # a new member beside keys that are open
