"""Pictures that people have looked at, as files. After a change look again; REWRITE=1 writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "golden" / "pictures"


def same(name: str, drawn: str) -> bool:
    """Tell whether a picture is as it was looked at."""
    file = FOLDER / name
    if os.environ.get("REWRITE"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(drawn)
    return file.read_text() == drawn
