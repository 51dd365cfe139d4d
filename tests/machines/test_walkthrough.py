"""The walk-through of docs/fleet.md on real machines: its commands are cut out of it and run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from ipaddress import ip_interface
from pathlib import Path

from netlab.machines.network import LanHost, MachineSpec
from netlab.machines.running import Machines, machines
from rustun.ops.inventory import load_inventory
from tests.machines.world import on_machines
from tests.netlab.child import ROOT

DOCUMENT = ROOT / "docs" / "fleet.md"
FOLDERS = ("rustun", "netlab", "templates")
FILES = ("invoke", "tasks.py", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", ".gitignore")
PRINTER = LanHost("printer", (ip_interface("192.168.1.7/24"),))
SPECS = [
    MachineSpec("server", ("vpn.acme.example",)),
    MachineSpec("bj-office", ("office.acme.example",), lan=(ip_interface("192.168.1.1/24"),), lan_hosts=(PRINTER,)),
    MachineSpec("bj-dev", ("dev.acme.example",)),
    MachineSpec("bj-store", ("store.acme.example",)),
]
OLD_ROUTES = [
    {"cluster": "beijing", "identity": "bj-office", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
     "gateway": "10.0.1.254", "ciders": ["192.168.1.0/24"]},
]  # fmt: skip
OLD_SERVER = """
[server_config]
listen_addr = "0.0.0.0:8080"
[crypto_config]
chacha20poly1305 = "kept-by-few-8FzQ2mW4xT7pLc9v"
[route_config]
routes_file = "routes.json"
"""
COLUMNS = 100
ANSWERS = b"y\n" * 4
PLACES = "/etc/rustun /opt/rustun /etc/systemd/system/*rustun* /etc/systemd/system/*/*rustun* /sys/class/net/rustun*"
OURS = f"ls -d {PLACES} 2>/dev/null; find /var/lib/rustun -type f -size +0 2>/dev/null; true"
AUTHOR = {f"GIT_{who}_{what}": "op@acme.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Walk:
    """Somebody who reads the document from its beginning and types every command."""

    def __init__(self, folder: Path) -> None:
        blocks = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
        [self.inventory] = [text for language, text in blocks if language == "toml"]
        self.left = [line for language, text in blocks if not language for line in text.splitlines()]
        self.exports = ""
        self.checkout = folder / "checkout"
        self._copy_project()

    def _copy_project(self) -> None:
        """Make a fresh clone, with the environment and the wheels of this one: no network leads anywhere."""
        (self.checkout / "inventory").mkdir(parents=True)
        (self.checkout / "build").mkdir()
        (self.checkout / "build" / "wheels").symlink_to(ROOT / "build" / "wheels")
        for name in FOLDERS:
            shutil.copytree(ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, self.checkout / name)
        programs = self.checkout / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, words in (("python", ""), ("invoke", "-m invoke")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (programs / name).chmod(0o755)
        subprocess.run(["git", "init", "--quiet"], cwd=self.checkout, check=True)

    def type(self, beginning: str) -> str:
        """Type the next command, which begins like this, and answer yes; return what it printed."""
        command = self.left.pop(0)
        assert command.startswith(beginning), f"the document says: {command}"
        if command.startswith("export "):
            self.exports += f"{command}\n"
        terminal, keyboard = os.openpty()
        os.write(terminal, ANSWERS)
        done = subprocess.run(
            ["bash", "-c", self.exports + command],
            cwd=self.checkout,
            env={**os.environ, **AUTHOR},
            stdin=keyboard,
            capture_output=True,
            text=True,
            check=False,
        )
        os.close(terminal)
        os.close(keyboard)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        print(f"$ {command}\n{done.stdout}{done.stderr}")
        if "--diff" not in command:
            assert [line for line in done.stdout.splitlines() if len(line) > COLUMNS] == []
        return done.stdout


@on_machines
def test_the_walk_through_of_the_documents(tmp_path: Path) -> None:
    """An operator who types what the document says would not get what it says."""
    walk = Walk(tmp_path)
    with machines(SPECS, tmp_path) as running:
        an_old_deployment_becomes_an_inventory(walk)
        a_fleet_is_started(walk, running)
        a_site_is_added(walk, running)
        keys_are_exchanged(walk, running)
        a_site_is_removed(walk, running)
    assert walk.left == []


def an_old_deployment_becomes_an_inventory(walk: Walk) -> None:
    (walk.checkout / "routes.json").write_text(json.dumps(OLD_ROUTES))
    (walk.checkout / "server.toml").write_text(OLD_SERVER)
    walk.type("./invoke inventory-import")
    [member] = load_inventory(walk.checkout / "inventory" / "old.toml").members
    assert (member.identity, str(member.address), str(member.ciders[0])) == ("bj-office", "10.0.1.1", "192.168.1.0/24")


def a_fleet_is_started(walk: Walk, running: Machines) -> None:
    (walk.checkout / "inventory" / "acme.toml").write_text(walk.inventory)
    walk.type("export")
    walk.type("./invoke lint")
    assert "+ host    bj-office" in walk.type("./invoke plan")
    assert running["bj-office"].run(OURS) == ""
    assert "deploy: 3 done" in walk.type("./invoke deploy")
    running["bj-dev"].run("ping -c 1 -W 5 10.0.1.1 && ping -c 1 -W 5 192.168.1.7")
    assert running["server"].run("systemctl is-active rustun-server") == "active\n"
    assert walk.type("./invoke status").count(" online ") == 2
    walk.type("git add")
    kept = subprocess.run(["git", "ls-files"], cwd=walk.checkout, capture_output=True, text=True, check=True).stdout
    assert kept.splitlines() == ["inventory/acme.lock", "inventory/acme.toml", "inventory/old.toml"]


def a_site_is_added(walk: Walk, running: Machines) -> None:
    others = processes(running)
    walk.type("./invoke add-member")
    assert '+    "identity": "bj-store",' in walk.type("./invoke plan --diff")
    assert "2 done, 2 unchanged" in walk.type("./invoke deploy")
    running["bj-store"].run("ping -c 1 -W 5 10.0.1.2")
    assert "192.168.3.0/24 dev rustun0" in running["bj-dev"].run("ip route")
    walk.type("./invoke edit-member")
    assert "2 done, 2 unchanged" in walk.type("./invoke deploy")
    assert "192.168.4.0/24 dev rustun0" in running["bj-dev"].run("ip route")
    assert processes(running) == others, "somebody's tunnel flinched"


def processes(running: Machines) -> list[str]:
    """Return the process numbers of the server and of a member with which nothing is done."""
    show = "systemctl show --value --property=MainPID"
    return [running["server"].run(f"{show} rustun-server"), running["bj-dev"].run(f"{show} rustun-client@bj-dev")]


def keys_are_exchanged(walk: Walk, running: Machines) -> None:
    server = processes(running)[0]
    for private in ("server.key server@2.key", "server.key server@2.key", "server@2.key"):
        assert "deploy: 4 done" in walk.type("./invoke rotate-keys")
        running["bj-dev"].run("ping -c 1 -W 5 10.0.1.1")
        running["bj-store"].run("ping -c 1 -W 5 10.0.1.2")
        assert running["server"].run("ls /etc/rustun/secrets").split() == private.split()
    assert running["bj-dev"].run("ls /etc/rustun/secrets/members") == "bj-dev@2.key\n"
    assert processes(running)[0] == server


def a_site_is_removed(walk: Walk, running: Machines) -> None:
    walk.type("./invoke remove-member")
    assert "cut off" in walk.type("./invoke deploy")
    assert running["bj-store"].run(OURS) == ""
    assert "192.168.3.0/24" not in running["bj-dev"].run("ip route; ping -c 1 -W 5 10.0.1.1")
