"""What this host's processor is good at."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def aes_is_fast() -> bool:
    """Return whether the processor has AES instructions; False where the kernel does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(
        "aes" in line.partition(":")[2].split() for line in text.splitlines() if line.startswith(("flags", "Features"))
    )
