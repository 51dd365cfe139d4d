"""Reading generated files back: whatever is wrong in one of them, and nothing else."""

from __future__ import annotations

from pathlib import Path

from rustun.config.keys import new_key_pair, new_private_key
from rustun.ops.keyfiles import write_key
from rustun.ops.reading_back import read_back

GOOD = 'identity = "m"\nservers = [{ address = "198.18.0.1:8080" }]\n[crypto_config]\naes256 = "0123456789abcdef"\n'
KEYED = """\
identity = "{name}"
servers = [{{ address = "198.18.0.1:8080", public_key = "{public}" }}]
[security_config]
private_key_file = "secrets/{name}.key"
"""


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    """A broken file of a fleet would be put in place, or a good one refused for a note."""
    for name, text in (("client-a.toml", GOOD), ("client-b.toml", GOOD.replace("198.18.0.1:8080", "nowhere:99999"))):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    assert read_back(tmp_path, "client-a.toml", "client") == []
    (problem,) = read_back(tmp_path, "client-b.toml", "client")
    assert (problem.file, problem.line, problem.level) == ("client-b.toml", 2, "error")


def test_folders_of_keys_are_judged_once_for_all_files(tmp_path: Path) -> None:
    """Reading 10,000 files back would look at each folder on the way to each key, which takes seconds."""
    keys = tmp_path / "secrets"
    keys.mkdir(mode=0o700)
    for name in ("a", "b"):
        write_key(keys / f"{name}.key", new_private_key())
        text = KEYED.format(name=name, public=new_key_pair()[1])
        (tmp_path / f"client-{name}.toml").write_text(text)
    judged: set[str] = set()
    assert read_back(tmp_path, "client-a.toml", "client", judged) == []
    assert judged == {str(keys)}
    keys.chmod(0o777)
    assert read_back(tmp_path, "client-b.toml", "client", judged) == []
    (problem,) = read_back(tmp_path, "client-b.toml", "client")
    assert "others may put another in its place" in problem.reason
