"""Nothing that reads foreign bytes may be without a fuzz test: found in the sources, compared with what really runs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from tests.architecture.sources import ROOT, python_files
from tests.fuzz.decoders import functions_called
from tests.fuzz.test_decoders import VALID

FOLDERS: Final = ("rustun/protocol", "rustun/config", "rustun/link", "rustun/admin", "rustun/ops", "rustun/web")
READING: Final = ("decode", "parse", "read", "load", "loads", "open", "receive", "examine", "next")
# Readers without an entry of their own, and why.
ELSEWHERE: Final = {
    ("rustun/link/inbox.py", "Inbox.next_frame"): "test_streams.py: whole and byte by byte",
    ("rustun/admin/asking.py", "parse"): "test_control_socket.py",
    ("rustun/admin/control_client.py", "read_status"): "test_control_socket.py",
    ("rustun/protocol/ciphers.py", "SeedCipher.open_into"): "a contract without code",
    ("rustun/web/routes_on_disk.py", "RoutesOnDisk.read"): "cut_routes, of a file that may change",
    ("rustun/ops/deploy/far/conversation.py", "receive"): "bytes by their digests, whatever they are",
    ("rustun/ops/deploy/far/facts.py", "read"): "bytes of files, as Base64",
    ("rustun/ops/deploy/ssh.py", "Far.read"): "tests/unit/ops/deploy: hosts that lie, by told.FILES",
    ("rustun/ops/editing/files.py", "read_back"): "load_inventory",
    ("rustun/ops/editing/files.py", "read_files"): "texts, not looked into",
    ("rustun/ops/editing/rotation.py", "next_keys"): "numbers of an inventory that was read",
    ("rustun/ops/policy/run.py", "read_assertions"): "read_policy, for each file",
    ("rustun/ops/reading_back.py", "read_back"): "load_server_config, load_client_config, read_routes",
    ("rustun/ops/run_report.py", "read_junit"): "what pytest wrote in the run that this ends",
    ("rustun/ops/sealing.py", "read_keys"): "texts, not looked into",
    ("rustun/ops/tasks/typed.py", "Tasks.parse_cleanup"): "words of one's own command line: invoke's parser",
    ("rustun/ops/tasks/typed.py", "Tasks.parse_core"): "words of one's own command line: invoke's parser",
    ("rustun/ops/tasks/typed.py", "Tasks.parse_tasks"): "words of one's own command line: invoke's parser",
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
    # An entry: in one of the *_decoders.py. Or its reason in ELSEWHERE.
    assert sorted(left) == sorted(ELSEWHERE)
