"""An inventory that is half edited: no task goes on with it, and each says what is wrong, and where."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rustun.ops.tasks import arguments, editing, fleet, hosts, project
from tests.unit.ops.writing_tasks import TASKS, changed, files, make_world, run

RED = "inventory/acme/red.toml"
LOCK = "inventory/acme/inventory.lock"
BAD_INPUT = 2


def merged(text: str) -> str:
    """Return a text as a merge leaves it."""
    return f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> theirs\n"


# What is wrong: file, how it came about, what has to be said.
BROKEN: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a merge": (RED, merged, f"{RED}:1: holds a merge conflict mark"),
    "a merge of given addresses": (LOCK, merged, f"{LOCK}:1: holds a merge conflict mark"),
    "half a line": (RED, lambda text: text + 'ciders = ["10.9.0.0', f"{RED}:"),
    "a wrong type": (RED, lambda text: text + "mtu = true\n", "not a whole number"),
    "an unknown key": (RED, lambda text: text + "masqerade = true\n", "masquerade"),
    "the same twice": (RED, lambda text: text + "[cluster.red.member.zoe]\naddress = '10.0.1.9'\n", f"{RED}:7"),
    "cut off": (RED, lambda text: text[: text.index("network") + 12], f"{RED}:"),
}


READING = (
    "gen-config --check --json", "lint", "policy-test", "plan", "plan --offline", "deploy --yes", "rollback --yes",
    "status", "rotate-keys --show", "rotate-keys", "enable-member bob",
)  # fmt: skip
IN_A_LAB = ("policy-test --live", "demo", "lab-up", "lab-up --machines")  # processes of their own
EDITING = [words for words in TASKS.values() if "--inventory" in words]


@pytest.mark.parametrize("words", [*EDITING, *(f"{words} --inventory inventory/acme" for words in READING + IN_A_LAB)])
def test_nothing_is_made_of_a_half_edited_inventory(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A slip, or an unfinished merge, would be deployed, or be written over."""
    for module in (arguments, editing, fleet, hosts, project):  # as they are, they come back behind the test
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    world = tmp_path / "world"
    make_world(world, next((task for task, typed in TASKS.items() if typed == words), ""))
    whole = files(world)
    for what, (name, break_it, said) in list(BROKEN.items())[: 1 if words.startswith(IN_A_LAB) else None]:
        text = (world / name).read_text()
        (world / name).write_text(break_it(text))
        broken = files(world)
        capfd.readouterr()
        assert run(world, words) == BAD_INPUT, what
        found = "".join(capfd.readouterr())
        assert said in found and "Traceback" not in found, (what, found)
        assert files(world) == broken, what
        (world / name).write_text(text)
    assert not changed(whole, files(world))
    assert os.getcwd() == str(world)
