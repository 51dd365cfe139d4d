"""Diffs of files that somebody wrote by hand: keys in them stay hidden, however they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.ops import generate
from rustun.ops.masking import masked


@pytest.mark.parametrize(
    "line",
    [
        'aes256 = "SECRET"', 'aes256="SECRET"', "xor = 'SECRET'", 'crypto_config = { aes256 = "SECRET" }',
        'crypto_config.chacha20poly1305 = "SECRET"', 'crypto_config = "chacha20poly1305:SECRET"', '"psk": "SECRET",',
        '{"m": {"psk": "SECRET"}}', "ExecStart=/opt/rustun serve -c aes256:SECRET", 'private_key = "SECRET"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("mark", ["-", "+", " "])
def test_a_key_in_a_diff_is_not_shown(mark: str, line: str) -> None:
    """A key that somebody wrote into a file would stand in a terminal, or in the log of a CI."""
    assert "SECRET" not in masked(f"{mark}{line}\n")
    assert masked(f"{mark}{line}\n").endswith("(not shown)\n")


@pytest.mark.parametrize(
    "line",
    [
        '    "public_key": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",', 'private_key_file = "secrets/server.key"',
        'chacha20poly1305_file = "secrets/shared.key"', '"psk_file": "psks/a.psk"', 'cipher = "aes256"',
    ],
)  # fmt: skip
def test_what_is_no_key_is_shown(line: str) -> None:
    """An operator could not see what changes."""
    assert masked(f"+{line}\n") == f"+{line}\n"


def test_gen_config_shows_no_key_of_a_file_that_it_replaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server.toml from before, with the key in it, would be printed line by line."""
    source = tmp_path / "f.toml"
    fleet = '[fleet]\nname = "f"\nservers = [{ address = "a.example:1" }]\n'
    source.write_text(f'{fleet}[cluster.c]\nnetwork = "10.0.0.0/24"\n')
    (tmp_path / "build" / "f").mkdir(parents=True)
    (tmp_path / "build" / "f" / "server.toml").write_text('crypto_config = { aes256 = "SECRET" }\n')
    assert generate.run(source, None, tmp_path, check=True, diff=True, as_json=False) == 3
    said = capsys.readouterr().out
    assert "-crypto_config = { aes256 = (not shown)" in said
    assert "SECRET" not in said
