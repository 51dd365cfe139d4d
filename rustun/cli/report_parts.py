"""What a bug report is made of: each part a text of its own, gathered on this host, as yet with secrets in it.

Rules of this module
  1. Nothing is asked of anybody but this host, its programs and the rustun processes on it.
  2. Every part is bounded, and one that cannot be had says why: half a report is better than none.
  3. Environments and command lines are read for their secrets, so that these can be looked for; they are no part.
"""

from __future__ import annotations

import json
import os
import platform
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import rustun
from rustun.admin.control_client import ask, read_status
from rustun.backends.programs import output_of
from rustun.cli.shown_files import shown_routes, shown_toml
from rustun.errors import RustunError

CONFIG_FOLDER: Final = Path("/etc/rustun")
MOST_FILES: Final = 32  # configuration files
LOG_LINES: Final = 2000
LOG_BYTES: Final = 2 << 20
MOST_PROC_BYTES: Final = 1 << 20
PACKAGES: Final = ("cryptography", "pyroute2", "click", "rich", "aiohttp", "prometheus-client")
COMMANDS: Final = (
    ("links", ("ip", "-d", "-s", "link")),
    ("addresses", ("ip", "address")),
    ("routes", ("ip", "route", "show", "table", "all")),
    ("routes6", ("ip", "-6", "route", "show", "table", "all")),
    ("rules", ("ip", "rule")),
    ("rules6", ("ip", "-6", "rule")),
    ("nft", ("nft", "list", "ruleset")),
)
KERNEL_FILES: Final = (
    "/etc/os-release",
    "/proc/version",
    "/proc/loadavg",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
    "/proc/sys/net/ipv4/conf/all/rp_filter",
    "/proc/sys/net/ipv4/ping_group_range",
    "/proc/sys/net/ipv4/tcp_congestion_control",
    "/proc/sys/net/ipv4/tcp_available_congestion_control",
    "/proc/sys/net/core/default_qdisc",
)
_SECRET_NAME: Final = re.compile(r"(?i)key|token|secret|pass|psk|credential|auth|cookie")
_CRYPTO_WORD: Final = re.compile(r"^(?:-c|--crypto=)?(?:chacha20poly1305|chacha20|aes256|xor):(.+)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the report; `what` says what it is."""

    name: str
    what: str
    text: str


@dataclass
class Gathered:
    """Parts, and secrets that were met on the way."""

    parts: list[Part] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def add(self, name: str, what: str, text: str) -> None:
        """Add a part."""
        self.parts.append(Part(name, what, text))


def gather(sockets: Iterable[Path], named: Iterable[Path]) -> Gathered:
    """Return what this host has to tell.

    Args:
        sockets: control sockets to ask.
        named: configuration files beside those of the processes and those in /etc/rustun.
    """
    found = Gathered()
    found.secrets += _secret_values(os.environ)
    found.add("versions.txt", "versions of rustun, Python and its packages", _versions())
    documents = _statuses(sockets, found)
    _configurations(documents, named, found)
    found.add("kernel.txt", "kernel, distribution, and settings of its network", "".join(map(_file, KERNEL_FILES)))
    for name, command in COMMANDS:
        found.add(f"network/{name}.txt", f"output of `{' '.join(command)}`", output_of(*command))
    for device in _devices(documents):
        words = f"output of `ethtool -k {device}`"
        found.add(f"network/offloads-{device}.txt", words, output_of("ethtool", "-k", device))
    journal = ("journalctl", "--no-pager", "-o", "short-iso", "-n", str(LOG_LINES), "-u", "rustun*")
    words = f"the last {LOG_LINES} lines of the journal of rustun's services"
    found.add("journal.txt", words, output_of(*journal, most_bytes=LOG_BYTES))
    return found


def _versions() -> str:
    lines = [
        f"rustun {rustun.__version__}",
        f"Python {platform.python_version()} ({platform.python_implementation()}), {ssl.OPENSSL_VERSION}",
        f"{platform.system()} {platform.release()} {platform.machine()}",
    ]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{package}: not installed")
    return "\n".join((*lines, ""))


# --- processes -------------------------------------------------------------------------------------------------------


def _statuses(sockets: Iterable[Path], found: Gathered) -> list[dict[str, Any]]:
    documents = []
    for number, path in enumerate(sockets):
        name = f"status/{number}-{path.stem}.json"
        try:
            document: dict[str, Any] = read_status(path)
        except RustunError as error:
            found.add(name, f"why {path} tells nothing", f"{error.message}\n")
            continue
        documents.append(document)
        pid = document.get("pid")
        if isinstance(pid, int):
            found.secrets += _secret_values(_environment(pid))
            found.secrets += _secret_words(_words(pid))
        found.add(name, f"status document of {path}", json.dumps(document, indent=1) + "\n")
        found.add(f"events/{number}-{path.stem}.jsonl", f"what happened lately at {path}", _recent_events(path))
    return documents


def _recent_events(path: Path) -> str:
    try:
        events = ask(path, {"ask": "recent"}).get("events")
    except RustunError as error:
        return f"{error.message}\n"
    return "".join(f"{json.dumps(event)}\n" for event in (events if isinstance(events, list) else ()))


def _devices(documents: list[dict[str, Any]]) -> list[str]:
    """Return the names of TUN devices, as far as they can be names."""
    names = [str((document.get("tun") or {}).get("name") or "") for document in documents]
    return [name for name in names if re.fullmatch(r"[\w.-]{1,15}", name, re.ASCII) and not name.startswith("-")]


def _read_proc(pid: int, name: str) -> list[str]:
    try:
        with Path(f"/proc/{pid}/{name}").open("rb") as opened:
            return opened.read(MOST_PROC_BYTES).decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _words(pid: int) -> list[str]:
    return [word for word in _read_proc(pid, "cmdline") if word]


def _environment(pid: int) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in _read_proc(pid, "environ"))
    return {name: value for name, _, value in pairs if name}


def _secret_values(environment: Mapping[str, str]) -> list[str]:
    return [value for name, value in environment.items() if _SECRET_NAME.search(name) and value]


def _secret_words(words: list[str]) -> list[str]:
    matches = (_CRYPTO_WORD.match(word) for word in words)
    return [match[1] for match in matches if match is not None]


# --- configuration ---------------------------------------------------------------------------------------------------


def _configurations(documents: list[dict[str, Any]], named: Iterable[Path], found: Gathered) -> None:
    tomls: dict[Path, None] = dict.fromkeys(named)
    routes: dict[Path, None] = {}
    for document in documents:
        folder = _folder(document)
        tomls.update((folder / word, None) for word in _files_of(document))
        file = (document.get("routes") or {}) if document.get("role") == "server" else {}
        if isinstance(file, dict) and file.get("file"):
            routes[folder / str(file["file"])] = None
    tomls.update((path, None) for path in sorted(CONFIG_FOLDER.glob("*.toml")))
    routes.update((path, None) for path in sorted(CONFIG_FOLDER.glob("routes.json")))
    routes.update((path, None) for path in tomls if path.suffix == ".json")
    for number, path in enumerate([path for path in tomls if path.suffix != ".json"][:MOST_FILES]):
        shown = shown_toml(path)
        found.secrets += shown.secrets
        found.add(f"configuration/{number}-{path.stem}.json", f"{path}: known keys, without secrets", shown.text)
    for number, path in enumerate(list(routes)[:MOST_FILES]):
        shown = shown_routes(path)
        found.secrets += shown.secrets
        found.add(f"configuration/{number}-routes.json", f"{path}: known keys, without secrets", shown.text)


def _files_of(document: dict[str, Any]) -> Iterator[str]:
    """Yield the configuration files that stand in a process's command line."""
    pid = document.get("pid")
    for word in _words(pid) if isinstance(pid, int) else []:
        name = word.removeprefix("--config=")
        if name.endswith(".toml"):
            yield name


def _folder(document: dict[str, Any]) -> Path:
    """Return what paths of a process are relative to."""
    try:
        return Path(os.readlink(f"/proc/{document.get('pid')}/cwd"))
    except OSError:
        return Path.cwd()


def _file(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8", "replace")[:MOST_PROC_BYTES]
    except OSError as error:
        text = f"({error.strerror})\n"
    return f"{path}:\n{text}\n"
