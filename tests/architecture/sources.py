"""The project's own files, for tests that read them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {".git", ".venv", "build", "dist", "__pycache__"}


def python_files(*folders: str) -> list[Path]:
    """Return all Python files below folders of the checkout, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def text_files() -> list[Path]:
    """Return every text file of the checkout that people write, sorted."""
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        made = any(part in GENERATED or part.endswith((".egg-info", "_cache", ".hypothesis")) for part in parts)
        if path.is_file() and not made:
            found.append(path)
    return sorted(path for path in found if path.suffix not in (".png", ".pcapng", ".bin"))


def module_name(path: Path) -> str:
    """Return the dotted name of a module, also as the id of a test."""
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)
