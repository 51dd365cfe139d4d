"""rustun.ops.filenames: any identity makes one safe name, and no two make the same."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from rustun.ops import filenames
from rustun.ops.filenames import client_file, member_key_file, own_member_key_file

IDENTITIES = st.text("a/%.~@-_2é€ ", min_size=1, max_size=8) | st.text("/é~a", min_size=60, max_size=120)


def test_identities_make_file_names() -> None:
    """An identity with a slash would be written outside the folder."""
    assert client_file("a/../b") == "client-a%2f..%2fb.toml"
    assert client_file("bj-dev") == "client-bj-dev.toml"
    assert member_key_file("..", 1) == "secrets/members/...key"
    assert member_key_file("bj-dev", 2) == "secrets/members/bj-dev@2.key"
    assert own_member_key_file("é@2", 1) == "client-%c3a9%402.key"
    assert filenames.server_key_file("server", 1) == "secrets/server.key"
    assert filenames.own_server_key_file("hk-1", 3) == "hk-1@3.key"


@given(IDENTITIES, IDENTITIES, st.integers(1, 3), st.integers(1, 3))
def test_no_two_keys_share_a_name(one: str, other: str, number: int, another: int) -> None:
    """One member's key would be taken for another's, and both could be either."""
    same = (one, number) == (other, another)
    assert (member_key_file(one, number) == member_key_file(other, another)) is same
    assert (client_file(one) == client_file(other)) is (one == other)


@given(st.characters(codec="utf-8").filter(str.isprintable), st.integers(1, 9999))
def test_every_name_fits_a_file_system(character: str, number: int) -> None:
    """A long identity would end gen-config with "file name too long"."""
    identity = character * (255 // len(character.encode()))
    for name in (client_file(identity), member_key_file(identity, number), own_member_key_file(identity, number)):
        assert len(PurePosixPath(name).name.encode()) <= 255
