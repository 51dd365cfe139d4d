"""What a client changed on its host that does not tell by itself whose it is: written down before it is done.

    STATE_DIR/host-DEVICE.json   what stands now, or is about to; gone when nothing does
    STATE_DIR/host-DEVICE.lock   held by flock(2) while a client lives

Rules of this module
  1. Written first, done then: whatever is found here was done, or may have been.
  2. The file is replaced as a whole. It is forced to the disk only where /etc/hosts is concerned: everything else dies
     with the power, and with the network namespace.
  3. What another boot or another namespace wrote speaks of nothing that still is, but for /etc/hosts.
  4. A file that cannot be read is set aside with a warning; it never stands in the way of a start.
  5. Root may look into the folder of a service that runs as another user: no link is followed, and nothing that this
     user wrote becomes the content of /etc/hosts, which it could not write itself.
  6. Several clients on one host have a journal each and look into those of the others: what two of them need stays
     until the last one goes, who then puts back what the first one found.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from rustun.backends.base import Prefix
from rustun.backends.forwarding import Change
from rustun.durable import sync_folder
from rustun.errors import HostError

STATE_DIR: Final = Path("/var/lib/rustun")
SCHEMA: Final = 1
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
SO_NETNS_COOKIE: Final = 71  # asm-generic/socket.h, kernel 5.14: unlike an inode, never given twice
SETTING: Final = re.compile(r"net/ipv[46]/conf/(?!\.\.?/)[^/]+/[a-z_]+")
MAX_BYTES: Final = 256 << 20  # two hosts files
ALONE_SECONDS: Final = 2.0  # settings and a table take another client 0.1 s


@dataclass(frozen=True, slots=True)
class Kept:
    """What stands in a journal.

    Attributes:
        pins: host routes that keep servers outside the tunnel.
        settings: kernel settings as they were and as we set them, in that order.
        hosts: whether our block may stand in /etc/hosts.
        hosts_write: content before and after, while /etc/hosts is written.
        table: whether our firewall table may stand.
        kill_switch: whether it lets nothing out beside the tunnel.
    """

    pins: frozenset[Prefix] = frozenset()
    settings: tuple[Change, ...] = ()
    hosts: bool = False
    hosts_write: tuple[str, str] | None = None
    table: bool = False
    kill_switch: bool = False


NOTHING: Final = Kept()


class HostJournal:
    """The journal of one device.

    Args:
        state_dir: folder of all journals on this host; made if need be.
        device: name of the TUN device.
        hold: whether this process is the client that the journal belongs to, until `close`; else it is only read.
    Attributes:
        kept: what stands in it; where it cannot be written, what would.
        warnings: what was wrong with what was found there.
        problem: why it cannot be written, None where it can.
    """

    def __init__(self, state_dir: Path, device: str, *, hold: bool = True) -> None:
        self.kept = NOTHING
        self.warnings: tuple[str, ...] = ()
        self.problem: HostError | None = None
        self._device = device
        self._folder = state_dir
        self._file = state_dir / f"host-{device}.json"
        self._lock = -1
        try:
            self._lock = _lock(state_dir, device) if hold else -1
        except HostError as error:
            self.problem = error
            return
        try:
            self.kept = _read(self._file)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            self._set_aside(error, hold)

    def write(self, kept: Kept) -> None:
        """Put this in place of what stands there; nothing is written when that is the same.

        Raises: HostError: it cannot be written; what stood there stands still.
        """
        if kept == self.kept:
            return
        if self.problem is not None:
            raise self.problem
        durable = kept.hosts or self.kept.hosts
        try:
            if kept == NOTHING:
                self._file.unlink(missing_ok=True)
            else:
                self._replace(json.dumps(_document(self._device, kept), indent=1), durable)
            if durable:
                sync_folder(self._folder)
        except OSError as error:
            raise _unwritable(self._file, error) from error
        self.kept = kept

    def put(self, kept: Kept) -> None:
        """Write what stands after all steps; where that fails, the journal goes on saying more than there is."""
        try:
            self.write(kept)
        except HostError:
            self.kept = kept

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other clients on this host from changing what several of them may need, if that can be had soon."""
        try:
            lock = _open_lock(self._folder / "host.lock") if self.problem is None else -1
        except HostError:  # a disk that filled up meanwhile
            lock = -1
        if lock < 0:
            yield
            return
        try:
            _wait_for(lock)
            yield
        finally:
            os.close(lock)

    def others(self) -> Iterator[tuple[str, Kept]]:
        """Yield device and content of the other journals of this boot and namespace, readable ones only."""
        for device in devices(self._folder):
            if device == self._device:
                continue
            try:
                yield device, _read(self._folder / f"host-{device}.json")
            except (OSError, ValueError, TypeError, KeyError):
                continue

    def close(self) -> None:
        """Give the lock back; what stands in the journal stays. A second call is harmless."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _set_aside(self, error: Exception, hold: bool) -> None:
        what = f"{self._file} cannot be read ({error})"
        aside = self._file.with_suffix(".unreadable")
        try:
            if hold:
                self._file.replace(aside)
                what += f": set aside as {aside.name}"
        except OSError as second:
            self.problem = _unwritable(self._file, second)
        advice = "settings of an earlier client may still stand: sysctl -a | grep forwarding"
        self.warnings = (f"{what}; {advice}",)

    def _replace(self, text: str, durable: bool) -> None:
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with new.open("x") as file:  # never through a link
            file.write(text + "\n")
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(self._file)


def devices(state_dir: Path) -> list[str]:
    """Return the devices that have a journal."""
    return sorted(file.name[len("host-") : -len(".json")] for file in state_dir.glob("host-*.json"))


def _lock(state_dir: Path, device: str) -> int:
    lock = _open_lock(state_dir / f"host-{device}.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        message = f"a running client with a device named {device} holds its journal in {state_dir}"
        raise HeldError(message, "give each network namespace a folder of its own: --state-dir DIR") from error
    return lock


def _wait_for(lock: int) -> None:
    """Take a lock; whoever was stopped in the middle, or is somebody else, does not hold us up for long."""
    deadline = time.monotonic() + ALONE_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(ALONE_SECONDS / 100)
        else:
            return


def _open_lock(file: Path) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            lock = os.open(file, flags | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(file, flags | os.O_RDONLY)  # a disk that went read-only says who runs as well
    except OSError as error:
        raise _unwritable(file, error) from error
    owner = file.parent.stat()
    if owner.st_uid != os.geteuid():
        with suppress(OSError):  # root looks into a service's folder: the service has to be able to lock it, too
            os.fchown(lock, owner.st_uid, owner.st_gid)
    return lock


def _read(file: Path) -> Kept:
    """Return what a journal says. Raises: OSError, ValueError, TypeError, KeyError: it cannot be read, or is none."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, encoding="utf-8") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no file")
        if found.st_size > MAX_BYTES:
            raise ValueError(f"over {MAX_BYTES >> 20} MiB")
        kept = _from_document(opened.read())
    return kept if found.st_uid in (0, os.geteuid()) else replace(kept, hosts_write=None)


class HeldError(HostError):
    """A running client holds the journal."""


def _unwritable(path: Path, error: OSError) -> HostError:
    reason = "no room on its disk" if error.errno == errno.ENOSPC else error.strerror or str(error)
    return HostError(f"the journal {path} cannot be written: {reason}", "mend that, or choose another: --state-dir DIR")


def _document(device: str, kept: Kept) -> dict[str, Any]:
    boot, namespace = _here()
    return {
        "schema": SCHEMA,
        "device": device,
        "boot_id": boot,
        "namespace": namespace,
        "pins": sorted(map(str, kept.pins)),
        "settings": [{"name": one.name, "before": one.before, "ours": one.ours} for one in kept.settings],
        "hosts": kept.hosts,
        "hosts_write": kept.hosts_write and {"before": kept.hosts_write[0], "after": kept.hosts_write[1]},
        "table": kept.table,
        "kill_switch": kept.kill_switch,
    }


def _from_document(text: str) -> Kept:
    """Return what a journal says of this boot and namespace. Raises: ValueError, TypeError, KeyError: it is none."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if found["schema"] != SCHEMA:
        raise ValueError(f"schema {found['schema']}, not {SCHEMA}")
    write = found["hosts_write"]
    hosts = Kept(hosts=_flag(found["hosts"]), hosts_write=write and (_text(write["before"]), _text(write["after"])))
    if (found["boot_id"], found["namespace"]) != _here():
        return hosts
    return Kept(
        frozenset(ip_network(_text(text)) for text in found["pins"]),
        tuple(_change(one) for one in found["settings"]),
        hosts.hosts,
        hosts.hosts_write,
        _flag(found["table"]),
        _flag(found["kill_switch"]),
    )


def _change(found: dict[str, Any]) -> Change:
    change = Change(_text(found["name"]), _text(found["before"]), _text(found["ours"]))
    if SETTING.fullmatch(change.name) is None:
        raise ValueError(f"{change.name!r} is no setting of ours")
    return change


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _here() -> tuple[str, int]:
    """Return what tells this boot and this network namespace from all others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        try:
            cookie = any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
            namespace = int.from_bytes(cookie, "little")
        except OSError:
            namespace = os.stat("/proc/self/ns/net").st_ino
    return BOOT_ID.read_text().strip(), namespace
