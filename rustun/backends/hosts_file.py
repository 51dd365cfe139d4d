"""Names of members in /etc/hosts: a block of our own in a file that belongs to others.

Rules of this module
  1. The block stands between `# begin rustun DEVICE` and `# end rustun DEVICE`, behind everything else, so that an
     entry of the administrator's wins. Each client has a block of its own, told by its device.
  2. Lines of others stay byte for byte as they were, also those that somebody wrote into the block, and the block
     leaves no trace: a file whose last line had no newline gets it back without one.
  3. The file is written in place: a container's /etc/hosts is a mount, and a new file in its stead would be seen by
     nobody. A write may be cut off halfway, so whoever calls keeps what was there before (the journal).
  4. A name is a label (letters, digits, hyphens: whoever calls sees to it), and stands there with SUFFIX behind it. A
     resolver's configuration is never touched.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from rustun.backends.base import Address
from rustun.errors import HostError, RightsError, RustunError

HOSTS: Final = Path("/etc/hosts")
SUFFIX: Final = ".rustun"  # no top-level domain; so no member can take the place of a name on the internet
MAX_BYTES: Final = 64 << 20  # a list of blocked advertisers has 10 MiB; more is no file of names
PIECE_BYTES: Final = 1 << 16  # one read of all that there may be would make room for all of it first

Names = tuple[tuple[str, tuple[Address, ...]], ...]
_NO_NEWLINE: Final = "# the line above this block ended without a newline"
_OURS: Final = re.compile(rf"[0-9a-f.:]+ [a-z0-9-]+{re.escape(SUFFIX)}|{re.escape(_NO_NEWLINE)}")


def with_block(text: str, device: str, names: Names) -> str:
    """Return the content of a hosts file with these names in the device's block; without a block where there are none.

    Args:
        text: the content that is there, with or without such a block.
        names: pairs of a name without SUFFIX and its addresses.
    """
    others = _without_block(text, device)
    lines = [f"{address} {name}{SUFFIX}" for name, addresses in names for address in addresses]
    if not lines:
        return others
    if others and not others.endswith("\n"):
        others += "\n"
        lines.insert(0, _NO_NEWLINE)
    return others + "".join(f"{line}\n" for line in (_begin(device), *lines, _end(device)))


def _without_block(text: str, device: str) -> str:
    """Return what is not ours; where the end of a block was taken out, its lines are still told by their form."""
    begin, end = _begin(device), _end(device)
    kept: list[str] = []
    inside = cut = False
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        word = line.rstrip("\r\n")
        if word in (begin, end):
            inside = word == begin
        elif inside and _OURS.fullmatch(word):
            cut = cut or word == _NO_NEWLINE
        else:
            kept.append(line)
            cut = False  # something follows the line that had no newline: it needs one now
    others = "".join(kept)
    return others.removesuffix("\n") if cut else others


def _begin(device: str) -> str:
    return f"# begin rustun {device}"


def _end(device: str) -> str:
    return f"# end rustun {device}"


def read_hosts(path: Path = HOSTS) -> str:
    """Return the file's content, every byte of it (those that are no UTF-8 as surrogates).

    Raises: HostError: no such file, not readable, or over 64 MiB.
    """
    content = bytearray()
    try:
        with path.open("rb") as file:
            while len(content) <= MAX_BYTES and (piece := file.read(PIECE_BYTES)):
                content += piece
    except OSError as error:
        raise _failure("read", path, error) from error
    if len(content) > MAX_BYTES:
        raise HostError(f"{path} has over {MAX_BYTES >> 20} MiB: no names are written there", 'write names = "off"')
    return content.decode("utf-8", "surrogateescape")


def write_in_place(text: str, path: Path = HOSTS) -> None:
    """Replace the content of the file that is there, and wait until it is on the disk.

    Raises: RightsError, HostError: nothing was written; or, with a full disk, a part: what was there goes back in.
    """
    content = text.encode("utf-8", "surrogateescape")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.ftruncate(descriptor, len(content))  # at the end, so that a reader meanwhile finds the old lines
            os.fsync(descriptor)
    except OSError as error:
        raise _failure("written", path, error) from error


def _failure(what: str, path: Path, error: OSError) -> RustunError:
    message = f"{path} cannot be {what}: {error.strerror}"
    if isinstance(error, PermissionError):
        return RightsError(message, 'names = "hosts" needs a client that root runs, or names = "off"')
    return HostError(message, "look at that file and its disk")
