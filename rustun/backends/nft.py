"""The `nft` program: load, list and remove one table of ours.

Rules of this module
  1. A script goes in as one transaction: the kernel takes all of it or nothing.
  2. What stands in the way has a name: the program is missing, this process may not, the program is too old for a
     word of the script, the kernel lacks what a line needs. The line is part of the message.
  3. The program gets no descriptor of ours but its three pipes, and nothing of our environment but where programs are.
  4. Listings are without counters, so two of them differ only when somebody changed the table.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Final

from rustun.errors import HostError, RightsError

PACKAGE: Final = "nftables"  # of Debian, Ubuntu, Fedora, RHEL, SUSE, Alpine, Arch alike
ADMIN_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"  # not in everybody's PATH
LIMIT_S: Final = 10  # a table of ours takes 10 ms
INSTALL: Final = f"install the package {PACKAGE}"
NO_RIGHTS: Final = "Operation not permitted"
NOT_THERE: Final = "No such file or directory"
UPDATE: Final = f"update the package {PACKAGE}: it has to be 0.9.6 or newer"
KERNEL: Final = (
    "this kernel lacks what that line needs: Linux 5.8 or newer, with the modules nf_tables, nft_ct, nft_chain_nat, "
    "nft_masq and nft_reject_inet (in a container: loaded by its host)"
)
_PLACE: Final = re.compile(r"(?:/dev/stdin|-):(\d+):\S* (?:Error: )?(.*)")


def load(script: str) -> None:
    """Have the kernel take a script as a whole.

    Raises: HostError (no nft, too old, the kernel refuses a line) or RightsError; nothing has changed then.
    """
    done = _nft("-f", "-", script=script)
    if done.returncode != 0:
        raise _error(done.stderr, script)


def delete(table: str) -> None:
    """Remove a table of the inet family with all that is in it; harmless when it is not there.

    Raises: HostError or RightsError, as `load`.
    """
    load(f"add table inet {table}\ndelete table inet {table}\n")


def listed(table: str) -> str | None:
    """Return a table of the inet family as it stands, without counters; None when it is not there.

    Raises: HostError or RightsError, as `load`.
    """
    done = _nft("--stateless", "list", "table", "inet", table)
    if done.returncode == 0:
        return done.stdout
    if NOT_THERE in done.stderr:
        return None
    raise _error(done.stderr, "")


def tables() -> str:
    """Return a line for each table of the inet family, "table inet NAME"; nothing where nft cannot tell."""
    return _nft("list", "tables", "inet").stdout


def find() -> str:
    """Return the path of the program. Raises: HostError: it is not installed."""
    program = shutil.which("nft", path=_path())
    if program is None:
        raise HostError("nft is not installed", INSTALL)
    return program


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{ADMIN_FOLDERS}"


def _nft(*arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    program = find()
    try:
        return subprocess.run(
            [program, *arguments],
            input=script,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            env={"PATH": _path(), "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"no answer in {LIMIT_S} s"
        raise HostError(f"cannot run {program}: {reason}", INSTALL) from error


def _error(words: str, script: str) -> HostError | RightsError:
    """Return what the program's words on standard error mean to whoever has to act."""
    if NO_RIGHTS in words:
        return RightsError("no permission to set up the firewall table", "run it as root, or with CAP_NET_ADMIN")
    first = next((line for line in words.splitlines() if line.strip()), "no word why").strip()
    place = _PLACE.match(first)
    if place is None:
        return HostError(f"nft failed: {first}", KERNEL)
    lines = script.splitlines()
    number, reason = int(place[1]), place[2]
    line = lines[number - 1].strip() if 0 < number <= len(lines) else f"line {number}"
    remedy = KERNEL if reason.startswith("Could not process rule") else UPDATE
    return HostError(f"nft refused `{line}`: {reason}", remedy)
