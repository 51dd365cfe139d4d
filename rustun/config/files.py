"""Read a configuration file whole: bounded, decoded, and with a clear word when that fails."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from pathlib import Path
from typing import Final

from rustun.config.findings import config_error

MAX_TOML_BYTES: Final = 1 << 20  # a server.toml has some 2 kB
MAX_ROUTES_BYTES: Final = 64 << 20  # 10,000 members need 3 MB; refused by size, before it is read


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return a regular file's bytes.

    Raises: ConfigError: missing, unreadable, not a regular file, or longer than `max_bytes`.
    """
    file = str(path)
    try:
        # O_NONBLOCK: opening a FIFO or a device by mistake must not hang a starting server.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise config_error(file, "there is no such file", missing_remedy(path)) from None
    except PermissionError:
        who = f"user {user_name(os.geteuid())}"
        raise config_error(file, f"{who} may not read it", permission_remedy(path)) from None
    except (OSError, ValueError) as error:
        raise config_error(file, f"cannot be opened: {_words(error)}", "check the path") from error
    try:
        return _read_opened(file, descriptor, max_bytes)
    except OSError as error:
        raise config_error(file, f"cannot be read: {_words(error)}", "check the disk and the path") from error
    finally:
        os.close(descriptor)


def missing_remedy(path: Path) -> str:
    """Return what to do about a file that is not there, and from where it was looked for."""
    looked = "" if path.is_absolute() else f"looked from {os.getcwd()}; "
    return f"{looked}check the spelling"


def permission_remedy(path: Path) -> str:
    """Return the command that takes away what first keeps this user from reading `path`."""
    real = Path(os.path.realpath(path))
    for folder in reversed(real.parents):
        if not os.access(folder, os.X_OK, effective_ids=True):
            return _grant(folder, "x")
    return _grant(real, "r")


def _grant(path: Path, bit: str) -> str:
    try:
        status = path.stat()
    except OSError:
        return "check the path"
    place = shlex.quote(str(path))
    if status.st_uid == os.geteuid():
        return f"run: chmod u+{bit} {place}"
    if status.st_gid in (os.getegid(), *os.getgroups()):
        return f"run: sudo chmod g+{bit} {place}"
    return f"run: sudo chgrp {_group_name(os.getegid())} {place} && sudo chmod g+{bit} {place}"


def user_name(uid: int) -> str:
    """Return what a user is called on this host, the number where it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _read_opened(file: str, descriptor: int, max_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise config_error(file, f"is {kind}", "name a file")
    if status.st_size > max_bytes:
        raise too_long(file, status.st_size, max_bytes)
    data = bytearray()
    at_once = min(max(status.st_size + 1, 4096), 1 << 20)  # memory for more costs time where there are many files
    while len(data) <= max_bytes:  # its size may change while it is read
        part = os.read(descriptor, at_once)
        if not part:
            return bytes(data)
        data += part
    raise too_long(file, len(data), max_bytes)


def too_long(file: str, size_bytes: int, max_bytes: int) -> Exception:
    """Return the ConfigError for a file over its limit."""
    found = f"{size_bytes:,} bytes long, at most {max_bytes:,} are read"
    return config_error(file, found, "is this the right file?")


def decode(file: str, data: bytes) -> str:
    """Return the text of a file; a UTF-8 byte order mark is taken off.

    Raises: ConfigError: not UTF-8, or with NUL bytes.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise config_error(file, "is UTF-16 text", "save it as UTF-8", line=1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8"
        raise config_error(file, found, "save it as UTF-8; is this the right file?", _line(data, error.start)) from None
    nul = data.find(b"\0")
    if nul >= 0:
        raise config_error(file, "holds a NUL byte", "it looks binary or half written", _line(data, nul))
    return text


def _line(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def _words(error: Exception) -> str:
    """Return what the system says; a ValueError is Python's, of a name that no file can have."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else "no file can have this name"
