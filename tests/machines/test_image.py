"""The tree that all machines share appears whole or not at all; where there can be none, that is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netlab.errors import EnvironmentLacks
from netlab.machines import image
from tests.netlab.child import ROOT

MAKES = """#!/bin/sh
eval "tree=\\${$(($# - 1))}"
mkdir -p "$tree/etc/ssh" "$tree/etc/systemd/system"
echo key >"$tree/etc/ssh/ssh_host_rsa_key"
echo nameserver >"$tree/etc/resolv.conf"
mount -t tmpfs none "$tree/etc/ssh"
echo "made $tree"
"""
WITHOUT_MOUNTS = ("setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin")
ORDINARY_USER = (sys.executable, "-m", "tests.netlab.ordinary_user", "/", "0666", "allowed")


@pytest.fixture
def debootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of debootstrap, which it is for the test to write, and an empty cache."""
    monkeypatch.setenv("RUSTUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / "debootstrap"
    program.write_text(MAKES)
    program.chmod(0o755)
    return program


def test_a_tree_is_made_once_and_without_secrets(debootstrap: Path) -> None:
    """Each run would take a minute more, or machines would share a host key that the tree came with."""
    tree = image.prepare()
    assert list((tree / "etc/ssh").iterdir()) == []
    assert (tree / "etc/resolv.conf").read_text() == ""
    assert (tree / "etc/systemd/system/apt-daily.timer").readlink() == Path("/dev/null")
    debootstrap.write_text("#!/bin/sh\nexit 1\n")
    assert image.prepare() == tree
    assert str(tree) not in Path("/proc/mounts").read_text()


def test_what_a_killed_maker_left_is_no_tree(debootstrap: Path) -> None:
    """Machines would boot from half a disk, or one failure would stand in the way of all that follow."""
    debootstrap.write_text('#!/bin/sh\nmkdir -p "$3"\necho no network today\nexit 7\n')
    with pytest.raises(EnvironmentLacks, match="no network today"):
        image.prepare()
    assert not image.tree().exists()
    half = image.folder() / "making" / "half"
    half.mkdir(parents=True)
    debootstrap.write_text(MAKES)
    assert not (image.prepare() / "half").exists()


@pytest.mark.parametrize(
    ("without", "words"),
    [(ORDINARY_USER, "real machines need root"), (WITHOUT_MOUNTS, "real machines need control groups of their own")],
)
def test_what_the_host_lacks_is_one_line(without: tuple[str, ...], words: str) -> None:
    """Somebody in a container would read tracebacks of systemd-nspawn, and CI would take them for failures."""
    command = [*without, sys.executable, "-c", "from netlab.machines import tools; tools.require()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-2], done.stderr
