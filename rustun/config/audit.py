"""[admin_config] of a server.toml, as far as it is about the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.config.findings import Complaint
from rustun.config.toml import Table
from rustun.printable import quoted

EXAMPLE: Final = "/var/lib/rustun/server/audit.jsonl"  # where the unit lets the server write
KIB: Final = 1 << 10


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Where the audit log is, and how much is kept.

    Attributes:
        file: None where none is written.
        max_bytes: of one file; a file that would grow over it is set aside.
        files: how many there are, the one that is written among them.
    """

    file: Path | None = None
    max_bytes: int = 10 << 20
    files: int = 10


def read_audit(admin: Table, folder: Path) -> AuditConfig:
    """Return what the table says; `audit_file` is relative to `folder`."""
    usual = AuditConfig()
    return AuditConfig(
        admin.text("audit_file", lambda text: _file(folder, text), usual.file),
        admin.whole("audit_bytes", usual.max_bytes, 64 * KIB, 1 << 30),
        admin.whole("audit_files", usual.files, 1, 1000),
    )


def _file(folder: Path, text: str) -> Path:
    if not text:
        raise Complaint("is empty", f'write "{EXAMPLE}", or leave it out')
    if not text.isprintable():
        raise Complaint(f"{quoted(text)} holds a control or invisible character", f'write "{EXAMPLE}"')
    return folder / text
