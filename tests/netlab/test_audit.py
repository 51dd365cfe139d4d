"""The audit log on a real disk that takes nothing, or has no room: the tunnel never notices, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from netlab import kernel
from netlab.worlds.running import Running, Site
from tests.netlab.private_namespace import in_private_namespace

DISK = Path("/run/disk")
AUDIT, FILLER = DISK / "audit.jsonl", DISK / "filler"
PAGE = os.sysconf("SC_PAGE_SIZE")
MS_RDONLY, MS_REMOUNT = 0x1, 0x20  # mount(2)
CROWD = 40  # members whose names alone, all together, take more than half of a page


def mount(flags: int) -> None:
    more = kernel.MS_NOSUID | kernel.MS_NODEV | flags
    kernel.mount("tmpfs", str(DISK), "tmpfs", more, f"mode=0755,size={16 * PAGE}")


def fill() -> None:
    """Leave no page; the last one of the audit log has some room still."""
    with FILLER.open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(PAGE)):
            pass


def events() -> list[str]:
    """Return the names of what the file has, each line of which has to be whole."""
    return [json.loads(line)["event"] for line in AUDIT.read_text().splitlines()]


def change_members(site: Site, server: Running, *, crowd: bool) -> None:
    """Let the server read another set of members."""
    said = server.log.count("members from")
    site.write_members()
    entries = json.loads((site.folder / "routes.json").read_text())
    for number in range(CROWD if crowd else 0):
        entries.append({**entries[0], "identity": f"{number}-{'x' * 60}", "private_ip": f"10.0.1.{100 + number}"})
    (site.folder / "draft").write_text(json.dumps(entries))
    os.replace(site.folder / "draft", site.folder / "routes.json")
    server.until(lambda status: status["members"] == len(entries) and server.log.count("members from") > said)


def is_told(server: Running, words: str) -> None:
    """Wait until the server says what is wrong."""
    server.until(lambda status: any(words in alarm for alarm in status["alarms"]))


def is_well(server: Running) -> None:
    """Wait until the server has nothing to say of it any more."""
    server.until(lambda status: not status["alarms"])


def is_unhurt(client: Running) -> None:
    """Fail where the client's session was lost, or is silent."""
    status = client.status()
    assert (status["state"], status["reconnects"]) == ("online", 0)
    assert status["proof_age_s"] < 3.0


@in_private_namespace
def test_no_packet_waits_for_a_disk() -> None:
    """If this fails, a read-only or full disk under the audit log ends the tunnel, or lines are gone without a word."""
    DISK.mkdir()
    mount(MS_RDONLY)
    with Site() as site:
        site.write_members()
        with (site.folder / "server.toml").open("a") as file:
            file.write(f'\n[admin_config]\naudit_file = "{AUDIT}"\n')
        server = site.serve()
        client = site.connect("--keepalive-interval", "1")
        client.until_online()
        is_told(server, "Read-only file system")
        mount(MS_REMOUNT)
        is_well(server)
        assert events()[:3] == ["started", "routes-loaded", "session-up"]
        is_unhurt(client)
        fill()
        for crowd in (True, False, True, False):
            change_members(site, server, crowd=crowd)
        is_told(server, os.strerror(28))
        is_unhurt(client)
        FILLER.unlink()
        is_well(server)
        assert events().count("routes-loaded") == 5
        AUDIT.unlink()
        change_members(site, server, crowd=True)
        is_unhurt(client)
        assert server.end(signal.SIGTERM) == 0
        assert events() == ["routes-loaded", "session-closed", "stopped"]
