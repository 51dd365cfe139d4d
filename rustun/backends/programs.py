"""Programs of this host that only look: `ip`, `nft`, `ethtool`, `journalctl`.

Rules of this module
  1. A program gets no descriptor of ours but its output, and nothing of our environment but where programs are.
  2. It has LIMIT_S, and of what it says so many bytes are kept as are asked for, its end where that is more.
  3. One that is missing, fails or hangs is an answer, not an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import Final

LIMIT_S: Final = 5
ADMIN_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


def output_of(*command: str, most_bytes: int = 1 << 20) -> str:
    """Return what a program says on both of its outputs, and how it ended if that was not well."""
    path = f"{os.environ.get('PATH', '')}:{ADMIN_FOLDERS}"
    program = shutil.which(command[0], path=path)
    if program is None:
        return f"({command[0]} is not installed)\n"
    with tempfile.TemporaryFile() as told:  # a ruleset may be larger than what anybody wants in memory
        try:
            ended = subprocess.run(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                env={"PATH": path, "LC_ALL": "C"},
                check=False,
            ).returncode
            end = f"(exit code {ended})\n" if ended else ""
        except subprocess.TimeoutExpired:
            end = f"(not done in {LIMIT_S} s)\n"
        except OSError as error:
            end = f"(cannot be run: {error.strerror})\n"
        size = told.seek(0, os.SEEK_END)
        told.seek(max(size - most_bytes, 0))
        cut = f"(only the last {most_bytes} of {size} bytes)\n" if size > most_bytes else ""
        return f"{cut}{told.read().decode('utf-8', 'replace')}{end}"
