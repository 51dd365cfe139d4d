"""Prometheus' own checker, out of Debian's package, which is not installed: it would start a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

CACHE: Final = "/var/cache/rustun"
LIMIT_S: Final = 60


@cache
def promtool() -> str:
    """Return the program, fetched once and kept in $RUSTUN_CACHE."""
    found = shutil.which("promtool")
    if found is not None:
        return found
    kept = Path(os.environ.get("RUSTUN_CACHE") or CACHE) / "promtool"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            _fetch(Path(folder))
            os.replace(Path(folder, "usr", "bin", "promtool"), kept)
    return str(kept)


def _fetch(folder: Path) -> None:
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "prometheus"]
    if subprocess.run(download, cwd=folder, timeout=LIMIT_S, check=False, capture_output=True).returncode != 0:
        subprocess.run(["apt-get", "-qq", "update"], timeout=LIMIT_S, check=False)
        subprocess.run(download, cwd=folder, timeout=LIMIT_S, check=True)
    [package] = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], timeout=LIMIT_S, check=True)


def check(*words: str, given: bytes = b"", folder: Path | None = None) -> str:
    """Return what `promtool check` says; AssertionError when it is not content."""
    command = [promtool(), "check", *words]
    done = subprocess.run(command, input=given, cwd=folder, capture_output=True, timeout=LIMIT_S, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
