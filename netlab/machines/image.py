"""The disk that all machines start from: a small Debian, made once by debootstrap and kept in a cache.

    CACHE/machines/SUITE-ARCHITECTURE-DIGEST/   a tree; CACHE is $RUSTUN_CACHE, or /var/cache/rustun
    CACHE/machines/making/                      one that is being made, its log beside it: making.log

Rules of this module
  1. The digest is that of all that decides what is inside, so another list of packages is another tree.
  2. A tree appears by one rename, whole. One maker at a time; what a killed one left is removed by the next.
  3. Whose sources, and from where: what the host's own apt says. The code names no mirror.
  4. debootstrap mounts things inside its tree. It does so in namespaces of its own, which end with it, so that
     removing a tree can never reach what was mounted in there.
  5. A tree is only read: machines write to a layer of their own. It holds no key and no machine's name.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netlab.errors import EnvironmentLacks
from netlab.machines import tools

PACKAGES: Final = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "python3",
    "python3-venv",
    "iproute2",
    "nftables",
    "iputils-ping",
)
MASKED: Final = (  # they want the internet, and would start in the middle of a measurement
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
)
REMOVED: Final = ("etc/ssh/ssh_host_*", "var/cache/apt/archives/*.deb", "var/cache/apt/*.bin", "var/lib/apt/lists/*_*")
RECIPE: Final = 2  # one more whenever `_finish` or `_debootstrap` does something else
CACHE: Final = Path("/var/cache/rustun")
KEEP_DAYS: Final = 14  # other checkouts may use other trees


@dataclass(frozen=True, slots=True)
class Source:
    """Where the host's own packages come from."""

    mirror: str
    suite: str
    architecture: str
    components: tuple[str, ...]


def folder() -> Path:
    """Return the folder that keeps the trees."""
    return Path(os.environ.get("RUSTUN_CACHE") or CACHE).absolute() / "machines"


def tree() -> Path:
    """Return where this host's tree is, or will be."""
    digest = hashlib.sha256(json.dumps([RECIPE, PACKAGES, MASKED, REMOVED]).encode()).hexdigest()[:12]
    return folder() / f"{_release() or 'none'}-{platform.machine()}-{digest}"


def _release() -> str:
    """Return this host's release as its packages' source calls it, "" where it has none."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def prepare() -> Path:
    """Return the tree; make it first where it is missing (about a minute, 330 MB).

    Raises:
        EnvironmentLacks: this host is no Debian or a relative, or making it failed; the log's end is in the message.
    """
    wanted = tree()
    if not wanted.is_dir():
        folder().mkdir(parents=True, exist_ok=True)
        with _one_maker():
            if not wanted.is_dir():
                _make(host_source(), wanted)
    os.utime(wanted)
    return wanted


def host_source() -> Source:
    """Return where this host's apt gets this release from.

    Raises:
        EnvironmentLacks: there is no apt, or it has no source of this release.
    """
    try:
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT) $(ARCHITECTURE)",
             "Created-By: Packages"], capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentLacks("real machines need apt's sources", "run it on Debian or Ubuntu") from error
    return chosen_source(listed, _release())


def chosen_source(listed: str, release: str) -> Source:
    """Return the source of `release` among lines of "SITE RELEASE COMPONENT ARCHITECTURE"; the first site wins.

    Raises:
        EnvironmentLacks: there is none.
    """
    rows = [tuple(line.split()) for line in listed.splitlines()]
    main = [row for row in rows if len(row) == 4 and row[1:3] == (release, "main")]
    if not main:
        raise EnvironmentLacks(f'apt has no source of "{release}" main', "add one to /etc/apt/sources.list")
    site, _, _, architecture = main[0]
    components = sorted({row[2] for row in rows if row[:2] == (site, release)} & {"main", "universe"})
    return Source(site, release, architecture, tuple(components))


@contextmanager
def _one_maker() -> Iterator[None]:
    with (folder() / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(source: Source, wanted: Path) -> None:
    """Make a tree and put it in its place; remove those that nobody has used for long."""
    making = folder() / "making"
    shutil.rmtree(making, ignore_errors=True)
    print(f"machines: making their disk, about a minute, kept in {wanted}", file=sys.stderr, flush=True)
    _debootstrap(source, making)
    _finish(making)
    making.rename(wanted)
    long_ago = time.time() - KEEP_DAYS * 86400
    for other in folder().iterdir():
        if other.is_dir() and other.stat().st_mtime < long_ago:
            shutil.rmtree(other)


def _debootstrap(source: Source, making: Path) -> None:
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = ["debootstrap", "--variant=minbase", f"--arch={source.architecture}"]
    command += [f"--components={','.join(source.components)}", f"--include={','.join(PACKAGES)}"]
    log = making.with_suffix(".log")
    with log.open("wb") as output:
        done = subprocess.run(
            [*alone, *command, source.suite, str(making), source.mirror],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, umask=0o022, check=False,
        )  # fmt: skip
    if done.returncode:
        words = log.read_text(errors="replace").strip()[-tools.LOG_TAIL_CHARACTERS :]
        raise EnvironmentLacks(f"debootstrap failed ({log})", words)


def _finish(making: Path) -> None:
    for pattern in REMOVED:
        for path in making.glob(pattern):
            path.unlink()
    for name in ("etc/machine-id", "etc/resolv.conf"):  # the host's: nobody answers there, and each lookup would wait
        (making / name).write_text("")
    for unit in MASKED:
        (making / "etc/systemd/system" / unit).symlink_to("/dev/null")
