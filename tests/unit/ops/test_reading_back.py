"""Reading generated files back: whatever is wrong in one of them, and nothing else."""

from __future__ import annotations

from pathlib import Path

from rustun.ops.reading_back import read_back

GOOD = 'identity = "m"\nservers = [{ address = "198.18.0.1:8080" }]\n[crypto_config]\naes256 = "0123456789abcdef"\n'


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    """A broken file of a fleet would be put in place, or a good one refused for a note."""
    for name, text in (("client-a.toml", GOOD), ("client-b.toml", GOOD.replace("198.18.0.1:8080", "nowhere:99999"))):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    assert read_back(tmp_path, "client-a.toml", "client") == []
    (problem,) = read_back(tmp_path, "client-b.toml", "client")
    assert (problem.file, problem.line, problem.level) == ("client-b.toml", 2, "error")
