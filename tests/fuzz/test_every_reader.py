"""Nothing that reads foreign bytes may be without a fuzz test: found in the sources, compared with what really runs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from tests.architecture.sources import ROOT, python_files
from tests.fuzz.decoders import functions_called
from tests.fuzz.test_decoders import VALID

FOLDERS: Final = ("rustun/protocol", "rustun/config", "rustun/link", "rustun/admin", "rustun/ops")
READING: Final = ("decode", "parse", "read", "load", "loads", "open", "receive", "examine", "next")
# Readers without an entry of their own, and why.
ELSEWHERE: Final = {
    ("rustun/link/inbox.py", "Inbox.next_frame"): "test_streams.py: whole and byte by byte",
    ("rustun/admin/control_client.py", "read_status"): "test_control_socket.py",
    ("rustun/protocol/ciphers.py", "SeedCipher.open_into"): "a contract without code",
}


def readers() -> set[tuple[str, str]]:
    """Return (file, qualified name) of every public function whose first word says that it reads something."""
    found = set()
    for path in python_files(*FOLDERS):
        top = ast.parse(path.read_text())
        holders: list[ast.Module | ast.ClassDef] = [top, *(node for node in top.body if isinstance(node, ast.ClassDef))]
        for holder in holders:
            prefix = f"{holder.name}." if isinstance(holder, ast.ClassDef) else ""
            names = [node.name for node in holder.body if isinstance(node, ast.FunctionDef)]
            found |= {(str(path), prefix + name) for name in names if name.split("_")[0] in READING}
    return found


def test_every_reader_is_fuzzed() -> None:
    """A new decoder goes into the tree and nobody ever gives it damaged bytes."""
    left = {(str(Path(file).relative_to(ROOT)), name) for file, name in readers() - functions_called(VALID)}
    # An entry: in wire_decoders.py, handshake_decoders.py or file_decoders.py. Or its reason in ELSEWHERE.
    assert sorted(left) == sorted(ELSEWHERE)
