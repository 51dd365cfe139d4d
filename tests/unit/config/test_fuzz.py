"""Whatever bytes a file has: a record or a ConfigError, nothing else, in bounded time."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.config import ClientOptions, check_files, client_config_from_options, parse_routes
from rustun.config.toml import parse_toml
from rustun.errors import ConfigError

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
ROUTES = sorted(path.read_bytes() for path in GOLDEN.glob("routes-*.json") if path.stat().st_size < 10_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MEMBER_TEXTS = st.sampled_from(
    [
        "10.0.1.1",
        "255.255.255.0",
        "192.168.1.0/24",
        "fd00:1::1/64",
        "::ffff:1.2.3.4/128",
        "fe80::1%eth0/64",
        "0/0",
        "key",
    ]
) | st.text(max_size=20)
MEMBERS = st.lists(
    st.fixed_dictionaries(
        {"cluster": MEMBER_TEXTS, "identity": MEMBER_TEXTS, "private_ip": MEMBER_TEXTS, "mask": MEMBER_TEXTS},
        optional={
            "gateway": MEMBER_TEXTS | JSON,
            "ciders": st.lists(MEMBER_TEXTS, max_size=4) | JSON,
            "cider_mapping": st.dictionaries(MEMBER_TEXTS, MEMBER_TEXTS | JSON, max_size=3) | JSON,
            "private_ip6": MEMBER_TEXTS | JSON,
            "public_key": MEMBER_TEXTS | JSON,
            "psk_file": MEMBER_TEXTS | JSON,
            "tier": MEMBER_TEXTS | JSON,
            "enabled": JSON,
            "expires_at": MEMBER_TEXTS | JSON,
        },
    ),
    max_size=4,
)


def judge(data: bytes) -> str:
    """Return what is said about the bytes of a routes.json; empty when they are taken without a word."""
    steps = parse_routes(data, "routes.json")
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return "\n".join(str(note) for note in stop.value.notes)
    except ConfigError as error:
        assert any(problem.level == "error" for problem in error.problems)
        return str(error)


@given(st.binary(max_size=200))
def test_any_bytes_as_routes(data: bytes) -> None:
    """A file of garbage takes a running server down instead of being refused."""
    judge(data)


@given(st.sampled_from(ROUTES), st.data())
def test_routes_cut_and_changed_anywhere(data: bytes, draws: st.DataObject) -> None:
    """A file that is read while it is half written, or with one byte wrong, escapes as another exception."""
    changed = bytearray(data)
    if changed:
        place = draws.draw(st.integers(0, len(changed) - 1))
        changed[place] = draws.draw(st.integers(0, 255))
    judge(bytes(changed[: draws.draw(st.integers(0, len(changed)))]))


@given(MEMBERS | st.lists(JSON, max_size=4))
def test_any_values_in_entries(entries: list[object]) -> None:
    """A value of an unexpected type or text escapes as another exception, or its message breaks the terminal."""
    said = judge(json.dumps(entries).encode())
    assert said.replace("\n", "").isprintable()


@given(st.text(max_size=200) | st.sampled_from(["[", "a=", "a.b=1\n[a]", "[[a]]\n[a]", "x = [" * 2000]))
def test_any_text_as_toml(text: str) -> None:
    """A TOML file of garbage escapes as another exception, or its message breaks the terminal."""
    try:
        table = parse_toml("x.toml", text)
        table.close()
        table.findings.finish()
    except ConfigError as error:
        assert str(error).replace("\n", "").isprintable()


@given(
    st.text(max_size=40) | st.sampled_from(["[::1]:80", "[::1%eth0]:80", "1.2.3.4:٣", "a:0", ":::", "[", "]:1"]),
    st.text(max_size=20),
    st.text(max_size=40) | st.sampled_from(["aes256:a:b", "chacha20:", "xor:\udcff", "plain:x"]),
)
def test_any_text_as_options(server: str, identity: str, crypto: str) -> None:
    """A slip on the command line shows a traceback."""
    try:
        config = client_config_from_options(ClientOptions(server=server, identity=identity, crypto=crypto))
    except ConfigError as error:
        assert str(error).replace("\n", "").isprintable()
    else:
        assert config.identity == identity


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b'{"a":' * 200_000,
        b"[" + b"[" * 1_000_000,
        b'[{"a": ' + b"9" * 1_000_000 + b"}]",
        b"[{" + b",".join(b'"k%d": 1' % number for number in range(50_000)) + b"}]",
        b"[{" + b'"k": 1,' * 100_000 + b'"k": 1}]',
        b'[{"ciders": [' + b'"x",' * 50_000 + b'"x"]}]',
        b"[" + b"7," * 50_000 + b"7]",
    ],
    ids=["deep objects", "deep lists", "long number", "many keys", "one key often", "bad prefixes", "bad entries"],
)
def test_hostile_routes_cost_little(data: bytes) -> None:
    """A crafted or broken file keeps the server busy for minutes."""
    began = time.process_time()
    assert judge(data)
    assert time.process_time() - began < 20  # takes under 2 s; a quadratic scan takes minutes


def test_folders_devices_and_missing_files(tmp_path: Path) -> None:
    """`check` hangs on a FIFO or shows a traceback for something that is no file."""
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    paths = [tmp_path, fifo, loop, tmp_path / "missing.json", Path("a\0b"), Path("/dev/zero")]
    reasons = [problem.reason for problem in check_files(paths)]
    assert reasons == [
        "is a folder",
        "is not a regular file",
        "cannot be opened: Too many levels of symbolic links",
        "there is no such file",
        "cannot be opened: no file can have this name",
        "is not a regular file",
    ]
