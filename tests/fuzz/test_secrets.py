"""A slip in the very line of a key: whatever is said about it, the key is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from rustun.config import check_files
from tests.fuzz.file_decoders import NOW

KEY: Final = "Zq7+marked/Secret=wQ9xK4vT2nB6mL8"
SLIPS: Final = ('"', "'", "\\", " ", "\n", "#", "=", "]", "}", "\0", "\x1b", "é")
SERVER: Final = '[server_config]\nlisten_addr = "0.0.0.0:8080"\n[route_config]\nroutes_file = "routes.json"\n'
CLIENT: Final = 'identity = "m1"\nservers = [{ address = "a.example:1" }]\n'
FILES: Final = {
    "server.toml": (SERVER, f'[crypto_config]\nchacha20poly1305 = "{KEY}"\n'),
    "client-inline.toml": (CLIENT, f'crypto_config = {{ aes256 = "{KEY}" }}\n'),
}
SHOWN_CHARACTERS: Final = 8  # as many of the key in a row are a leak


def slips(line: str) -> Iterator[str]:
    """Yield the line with one character missing, put in, or in another's place."""
    for place in range(len(line)):
        yield line[:place] + line[place + 1 :]
        for slip in SLIPS:
            yield line[:place] + slip + line[place:]
            yield line[:place] + slip + line[place + 1 :]


@pytest.mark.parametrize("name", FILES)
def test_no_slip_shows_the_key(tmp_path: Path, name: str) -> None:
    """`rustun check`, a log or a bug report shows the key to whoever reads it."""
    before, line = FILES[name]
    path = tmp_path / name
    (tmp_path / "routes.json").write_text("[]")
    parts = {KEY[at : at + SHOWN_CHARACTERS] for at in range(len(KEY) - SHOWN_CHARACTERS + 1)}
    for damaged in slips(line):
        path.write_text(before + damaged)
        said = "\n".join(text for problem in check_files([path], NOW) for text in problem.lines())
        leak = next((part for part in parts if part in said), None)
        assert leak is None, f"{damaged!r} makes it say:\n{said}"
