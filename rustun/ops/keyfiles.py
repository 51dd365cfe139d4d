"""Key files: generated once, never overwritten, never printed.

Rules of this module
  1. A file that is there stays as it is, whatever it holds. Only its absence leads to a new key.
  2. New files appear whole and with mode 0600 or not at all: they are written under other names, go to the disk
     together, and are linked into place; linking fails where somebody else was faster. ctrl-C waits until the last one
     is in place: all of them are there, or none.
  3. Folders of keys have mode 0700, whatever the umask.
  4. The keys of build/NAME are in secrets/NAME beside build/, and build/NAME/secrets leads there: who deletes what can
     be generated again loses no key. A real folder build/NAME/secrets, and one of any other place, is used as it is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from rustun.config.keys import Secret
from rustun.errors import HostError
from rustun.ops.filenames import SECRETS, STAGING, member_key_file, psk_file
from rustun.ops.uninterrupted import uninterrupted

BUILD: Final = "build"  # what is generated: it can be deleted
TOKEN_RANDOM_BYTES: Final = 32
KEY_RANDOM_BYTES: Final = 24  # 32 characters of URL-safe Base64: all that the seed's ciphers take of a key


def sealed_keys(inventory: Path) -> Path:
    """Return where the keys of an inventory, a file or a folder, stand encrypted, if they do."""
    return inventory / "keys.age" if inventory.is_dir() else inventory.with_suffix(".keys.age")


def new_shared_key() -> Secret:
    """Return a new shared key: 192 random bits, 32 characters."""
    return Secret(secrets.token_urlsafe(KEY_RANDOM_BYTES))


def new_token() -> Secret:
    """Return a new token of the web process: 256 random bits, 43 characters that a header can carry."""
    return Secret(secrets.token_urlsafe(TOKEN_RANDOM_BYTES))


def find_keys(folder: Path) -> None:
    """Let `folder` lead to its keys again where they are apart and the way there is gone. Raises: OSError."""
    home = _home(folder)
    if home is not None and home.is_dir() and not (folder / SECRETS).exists():
        _lead(folder, home)


def _home(folder: Path) -> Path | None:
    """Return where the keys of a folder are kept apart from it (rule 4); None where they are in it."""
    folder = folder.absolute()
    return folder.parent.parent / SECRETS / folder.name if folder.parent.name == BUILD else None


def _lead(folder: Path, home: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SECRETS).unlink(missing_ok=True)  # a link that leads nowhere
    (folder / SECRETS).symlink_to(os.path.relpath(home, folder.absolute()))


def write_key_files(folder: Path, texts: Mapping[str, Secret]) -> None:
    """Write new key files below `folder`.

    Args:
        folder: that only one process writes to at a time.
        texts: what each file holds, by its name relative to `folder`, in secrets/.
    Raises: HostError: one is there already; those before it are written. OSError: no room, or no right.
    """
    if not texts:
        return
    if (home := _home(folder)) is not None and not (folder / SECRETS).is_dir():
        _make_folder(home.parent)
        _make_folder(home)
        _lead(folder, home)
    staging = folder / SECRETS / STAGING
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    for needed in (staging.parent, staging):
        _make_folder(needed)
    try:
        drafts = {name: f"{staging}/{number}" for number, name in enumerate(texts)}
        for name, draft in drafts.items():
            write_key(draft, texts[name])
        os.sync()  # once: a call for each of 10,000 files takes minutes on some disks
        with uninterrupted():
            for parent in {os.path.dirname(name) for name in drafts}:
                _make_folder(folder / parent)
            for name, draft in drafts.items():
                _link(draft, f"{folder}/{name}")
    finally:
        with uninterrupted():
            shutil.rmtree(staging, ignore_errors=True)


def _link(draft: str, path: str) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        raise HostError(f"{path}: somebody else made it meanwhile", "run it again") from None


@contextlib.contextmanager
def keeping_member_keys(folder: Path, identity: str, name: str, numbers: Iterable[int]) -> Iterator[None]:
    """Let the generated keys of a member be found under its new identity too; the old names stay.

    Where what is done inside fails, the new names go again. Raises: HostError: no room, or no right.
    """
    with contextlib.ExitStack() as undo:
        for old, new in _both_names(folder, identity, name, numbers):
            if old.exists() and not new.exists():
                try:
                    os.link(old, new)
                except OSError as error:
                    raise HostError(f"{new}: cannot be made: {error.strerror}", "check who owns the folder") from error
                undo.callback(new.unlink)
        yield
        undo.pop_all()


def keys_in_the_way(folder: Path, identity: str, name: str, numbers: Iterable[int]) -> list[Path]:
    """Return the files that `keeping_member_keys` would leave as they are although they hold other keys.

    Raises: OSError: they cannot be read.
    """
    pairs = _both_names(folder, identity, name, numbers)
    return [new for old, new in pairs if new.exists() and not (old.exists() and old.read_bytes() == new.read_bytes())]


def _both_names(folder: Path, identity: str, name: str, numbers: Iterable[int]) -> Iterator[tuple[Path, Path]]:
    for number in numbers:
        yield folder / member_key_file(identity, number), folder / member_key_file(name, number)
    yield folder / psk_file(identity), folder / psk_file(name)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700)  # its own parent is there; a umask only takes rights away


def write_key(path: str | Path, key: Secret) -> None:
    """Write one key to a file that is not there, mode 0600. Raises: OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(f"{key.reveal()}\n".encode("ascii"))
