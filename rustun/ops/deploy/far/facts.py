"""What a plan needs to know of a host; nothing is changed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
from collections.abc import Iterable, Iterator

from rustun.ops.deploy.far.system import (
    COMPLETE,
    CONFIG,
    CURRENT,
    PROGRAM,
    RELEASES,
    SOCKETS,
    STATE,
    UNITS,
    Json,
    System,
    describe,
    digest_of,
    names,
)

SCHEMA = 1
UNIT_KEYS = "LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,NRestarts"


def facts(system: System, units: Iterable[str]) -> Json:
    """Return everything about the host; `units` are looked at beside those of ours that it knows itself."""
    libc, version = platform.libc_ver()
    return {
        "schema": SCHEMA,
        "hostname": platform.node(),
        "machine": first_line(system, "/etc/machine-id") + first_line(system, "/proc/sys/kernel/random/boot_id"),
        "os": os_name(system),
        "arch": platform.machine(),
        "libc": libc or "musl",
        "libc_version": version if libc else "1.2",
        "pythons": system.pythons(),
        "systemd": os.path.isdir(system.at("/run/systemd/system")),
        "clock": system.now(),
        "free_bytes": {place: free_bytes(system, place) for place in (PROGRAM, CONFIG, STATE)},
        "has_user": system.has_user("rustun"),
        "releases": releases(system),
        "current": current_release(system),
        "files": files(system),
        "folders": folders(system),
        "units": {name: unit_state(system, name) for name in sorted({*known_units(system), *units})},
        "generations": generations(system),
        "status": statuses(system),
    }


def read(system: System, paths: Iterable[str]) -> dict[str, str | None]:
    """Return the contents of files in Base64, None for those that are not there."""
    found: dict[str, str | None] = {}
    for path in paths:
        found[path] = None
        with contextlib.suppress(OSError), open(system.at(path), "rb") as file:
            found[path] = base64.b64encode(file.read()).decode()
    return found


def first_line(system: System, path: str) -> str:
    """Return the first line of a file, empty where it cannot be read."""
    with contextlib.suppress(OSError), open(system.at(path)) as file:
        return file.readline().strip()
    return ""


def os_name(system: System) -> str:
    """Return what the host calls its system."""
    with contextlib.suppress(OSError), open(system.at("/etc/os-release")) as file:
        for line in file:
            if line.startswith("PRETTY_NAME="):
                return line.split("=", 1)[1].strip().strip('"')
    return platform.system()


def free_bytes(system: System, place: str) -> int:
    """Return how much root may still write where a folder is, or will be."""
    while not os.path.isdir(system.at(place)):
        place = os.path.dirname(place)
    found = os.statvfs(system.at(place))
    return found.f_bfree * found.f_frsize


def releases(system: System) -> list[str]:
    """Return the digests of the whole releases."""
    base = system.at(RELEASES)
    return [name for name in names(base) if os.path.exists(os.path.join(base, name, COMPLETE))]


def current_release(system: System) -> str:
    """Return the digest of the release in use, or an empty text."""
    with contextlib.suppress(OSError):
        return os.path.basename(os.readlink(system.at(CURRENT)))
    return ""


def our_folders(system: System) -> Iterator[str]:
    """Yield all folders that may hold files of ours, as the host names them; some may not be there."""
    base = system.at(CONFIG)
    for folder, below, _ in os.walk(base):
        below.sort()
        yield os.path.normpath(os.path.join(CONFIG, os.path.relpath(folder, base)))
    for name in names(system.at(UNITS)):
        if name.startswith("rustun-") and os.path.isdir(system.at(f"{UNITS}/{name}")):
            yield f"{UNITS}/{name}"


def our_paths(system: System) -> Iterator[str]:
    """Yield all files that may be ours, as the host names them."""
    own = [f"{UNITS}/{name}" for name in names(system.at(UNITS)) if name.startswith("rustun-")]
    found = [f"{folder}/{name}" for folder in our_folders(system) for name in names(system.at(folder))]
    yield from (path for path in (*own, *found, f"{STATE}/hosts.json") if os.path.isfile(system.at(path)))


def files(system: System) -> dict[str, Json]:
    """Return digest, mode and owners of all files that may be ours."""
    found = {}
    for path in our_paths(system):
        with contextlib.suppress(OSError):
            found[path] = {"digest": digest_of(system.at(path)), **describe(system, path)}
    return found


def folders(system: System) -> dict[str, Json]:
    """Return mode and owners of the folders that may hold files of ours."""
    return {path: describe(system, path) for path in our_folders(system)}


def known_units(system: System) -> Iterator[str]:
    """Yield the units of ours that run, have failed, or start with the host; templates are none of these."""
    _, listed = system.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "rustun-*")
    yield from (line.split()[0] for line in listed.splitlines() if line.startswith("rustun-"))
    wanted = names(system.at(f"{UNITS}/multi-user.target.wants"))
    yield from (name for name in wanted if name.startswith("rustun-"))


def unit_state(system: System, name: str) -> Json:
    """Return what systemd says of a unit, and the release that its process runs from."""
    _, shown = system.run("systemctl", "show", "--property", UNIT_KEYS, "--", name)
    state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    pid = int(state.get("MainPID") or 0)
    return {
        "known": state.get("LoadState") == "loaded",
        "active": state.get("ActiveState", ""),
        "sub": state.get("SubState", ""),
        "enabled": state.get("UnitFileState") == "enabled",
        "stale": state.get("NeedDaemonReload") == "yes",
        "pid": pid,
        "restarts": int(state.get("NRestarts") or 0),
        "release": release_of(system, pid),
    }


def release_of(system: System, pid: int) -> str:
    """Return the digest of the release that a process runs from; empty where it is none of ours."""
    words = system.words_of(pid) if pid else []
    path = words[0] if words else ""
    return path[len(RELEASES) + 1 :].split("/")[0] if path.startswith(f"{RELEASES}/") else ""


def generations(system: System) -> list[Json]:
    """Return what was deployed, oldest first: number and manifest of each."""
    found = []
    for number in sorted(int(name) for name in names(system.at(STATE)) if name.isdigit()):
        with contextlib.suppress(OSError, ValueError), open(system.at(f"{STATE}/{number}/manifest.json")) as file:
            found.append({"number": number, "manifest": json.load(file)})
    return found


def statuses(system: System) -> list[Json]:
    """Return the status documents of all rustun processes that answer."""
    paths = [f"{SOCKETS}/{name}" for name in names(system.at(SOCKETS)) if name.endswith(".sock")]
    return [document for document in (system.ask_status(system.at(path)) for path in paths) if document is not None]
