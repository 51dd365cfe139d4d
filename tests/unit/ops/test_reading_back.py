"""Reading generated files back: whatever is wrong in one of them, and nothing else."""

from __future__ import annotations

from pathlib import Path

from rustun.ops.reading_back import Staged, read_back

GOOD = 'identity = "m"\nservers = [{ address = "198.18.0.1:8080" }]\n[crypto_config]\naes256 = "0123456789abcdef"\n'


def test_every_broken_file_is_told(tmp_path: Path) -> None:
    """A broken file of a fleet would be put in place."""
    names = [f"client-{number:02}.toml" for number in range(12)]
    for number, name in enumerate(names):
        (tmp_path / name).write_text(GOOD if number % 3 else GOOD.replace("198.18.0.1:8080", f"nowhere:{number}x"))
        (tmp_path / name).chmod(0o600)
    problems = read_back(tmp_path, [Staged(name, "client", len(GOOD)) for name in names])
    assert [problem.file for problem in problems] == names[::3]
    assert {(problem.level, problem.line) for problem in problems} == {("error", 2)}
