"""`rustun bugreport`: an archive with what whoever helps asks for first, without secrets.

Rules of this module
  1. What goes in is listed before it is written; nothing leaves this machine.
  2. Every text passes the Redactor, whatever it is and wherever it came from, and so do the names in the archive.
  3. The archive is new and its owner's alone (0600), and tells nothing of who made it.
"""

from __future__ import annotations

import io
import os
import sys
import tarfile
import time
from pathlib import Path
from typing import Final

from rustun.admin.control import find_sockets
from rustun.admin.units import size
from rustun.backends.process import forbid_core_dumps
from rustun.cli.redaction import Redactor
from rustun.cli.report_parts import Part, gather
from rustun.errors import HostError, RightsError
from rustun.printable import printable

README: Final = """\
A report of rustun for whoever helps, made by `rustun bugreport`. Look through it before you hand it on.

Keys, tokens and passwords were taken out: "(left out)", "(a secret)" and "(a key)" stand in their place, also for
public keys, which look the same. Names, addresses and prefixes are in it, and what the journal says.

"""
LINE_CHARACTERS: Final = 300


def bugreport(files: tuple[Path, ...], out: Path | None, control: Path | None, *, only_list: bool) -> int:
    """Gather, list, write, and return 0.

    Args:
        files: configuration files beside those that are found.
        out: the archive, which must not be there; None for a name with the time in the working directory.
        only_list: write nothing.

    Raises: HostError or RightsError: the archive cannot be written.
    """
    forbid_core_dumps()  # keys are read, to look for them
    found = gather([control] if control is not None else find_sockets(), files)
    redactor = Redactor(found.secrets)
    parts = [
        Part(redactor.clean(part.name), redactor.clean(part.what), redactor.clean(part.text)) for part in found.parts
    ]
    index = "".join(f"{part.name}: {part.what}\n" for part in parts)
    parts.insert(0, Part("README.txt", "what this is, and what is in it", README + index))
    print("what goes in, without keys, tokens and passwords:", file=sys.stderr)
    for part in parts:
        line = f"  {part.name:36} {size(len(part.text)):>7}   {part.what}"
        print(printable(line, LINE_CHARACTERS), file=sys.stderr)
    if only_list:
        return 0
    name = out or Path(f"rustun-bugreport-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    write_new(name, archive(parts, name.name.removesuffix(".gz").removesuffix(".tar"), time.time()))
    print(printable(str(name), LINE_CHARACTERS))
    print("nothing left this machine: look through it, then hand it on yourself", file=sys.stderr)
    return 0


def archive(parts: list[Part], folder: str, now: float) -> bytes:
    """Return a tar.gz with each part as a file in one folder; `now` in unix seconds."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for part in parts:
            data = part.text.encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"{folder}/{part.name}")
            entry.size, entry.mtime, entry.mode = len(data), int(now), 0o600
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def write_new(path: Path, data: bytes) -> None:
    """Write a file that was not there, mode 0600. Raises: HostError, RightsError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            try:
                opened.write(data)
                opened.flush()
            except OSError:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise HostError(f"{path} is there already", "name another file with --out") from error
    except PermissionError as error:
        raise RightsError(f"{path} may not be written", "name another place with --out FILE") from error
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}", "name another place with --out FILE") from error
