"""Values that nobody foresaw, in routes.json and on the command line: a record or a ConfigError in words."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from rustun.config import ClientOptions, client_config_from_options, parse_routes
from rustun.errors import ConfigError

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


@given(MEMBERS | st.lists(JSON, max_size=4))
def test_any_values_in_entries(entries: list[object]) -> None:
    """A value of an unexpected type or text escapes as another exception, or its message breaks the terminal."""
    said = judge(json.dumps(entries).encode())
    assert said.replace("\n", "").isprintable()


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
