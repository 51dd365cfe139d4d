"""What a control plane says, and what becomes of the members' file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol.tiers import Tier
from rustun.web.changes import Values
from rustun.web.management import Refused
from rustun.web.routes_text import RoutesText, cut_routes
from rustun.web.sync_members import (
    PROTECTING,
    cluster_id,
    connections_told,
    left_behind,
    members_told,
    parse_connections,
    parse_members,
    replace_members,
)

KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
TEXT = f"""[
  {{ "cluster": "1", "identity": "gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0", "public_key": "{KEY}",
    "ciders": ["192.168.1.0/24"], "note": "ours" }},
  {{ "cluster": "1", "identity": "dev", "private_ip": "10.0.1.2", "mask": "255.255.255.0", "tier": "shared" }},
  {{ "cluster": "2", "identity": "db", "private_ip": "10.0.1.1", "mask": "255.255.255.0", "enabled": false }}
]
"""
NOW = datetime(2026, 6, 1, tzinfo=UTC)
NUMBERS = {"gw": 1, "dev": 2, "db": 3, "new": 4}


def routes(text: str = TEXT) -> RoutesText:
    """Return a state of the file."""
    return cut_routes(Path("routes.json"), text.encode())


def member(identity: str, cluster: str = "1", **more: object) -> dict[str, Any]:
    """Return a member as a control plane names it."""
    said = {"name": "", "cluster": cluster, "identity": identity, "private_ip": f"10.0.1.{NUMBERS[identity]}"}
    return said | {"mask": "255.255.255.0", "gateway": "", "ciders": []} | more


def taken(before: RoutesText, *members: Values, allow_empty: bool = False, **behind: Values) -> RoutesText:
    """Return the file as it is once a control plane has said this."""
    said = parse_members(json.dumps(members).encode())
    return replace_members(before, said, allow_empty=allow_empty, left_behind=behind).after


MEMBERS = [member("gw", ciders=["192.168.1.0/24"]), member("dev"), member("db", "2", private_ip="10.0.1.1")]


def test_what_is_the_same_changes_not_a_byte() -> None:
    """If this fails, the file is written anew every minute, and every editor's work conflicts with it."""
    assert taken(routes(), *MEMBERS).text == TEXT


def test_members_are_replaced_and_their_keys_stay() -> None:
    """If this fails, a control plane that knows no keys takes all of them away with its first answer."""
    after = taken(routes(), member("gw", name="Gate", ciders=[]), member("new", "3", cider_mapping=None))
    assert [one["identity"] for one in after] == ["gw", "new"]
    gw, new = after
    assert (gw["name"], gw["ciders"], gw["public_key"], gw["note"]) == ("Gate", [], KEY, "ours")
    assert new == {key: value for key, value in member("new", "3").items() if key != "name"}
    moved = taken(routes(), member("gw", "9"))
    assert [(one["cluster"], one["public_key"]) for one in moved] == [("9", KEY)]


def test_who_comes_back_is_protected_as_before() -> None:
    """If this fails, a control plane's hiccup is the way in for somebody without a key."""
    before = routes()
    only_dev = parse_members(json.dumps(MEMBERS[1:2]).encode())
    proposal = replace_members(before, only_dev, allow_empty=False, left_behind={})
    behind = left_behind(proposal, {})
    assert behind == {"gw": {"public_key": KEY}, "db": {"enabled": False}}
    everybody = parse_members(json.dumps(MEMBERS).encode())
    again = replace_members(proposal.after, everybody, allow_empty=False, left_behind=behind)
    found = {str(one["identity"]): one for one in again.after}
    assert (found["gw"]["public_key"], found["db"]["enabled"]) == (KEY, False)
    assert left_behind(again, behind) == {}, "what the file says of them from now on is what counts"


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(sorted(NUMBERS)), st.sampled_from("12"), st.sampled_from(["", "A", "B"])),
            max_size=4,
            unique_by=lambda one: one[0],
        ),
        max_size=5,
    )
)
def test_no_row_of_answers_takes_protection_away(answers: list[list[tuple[str, str, str]]]) -> None:
    """If this fails, there is an order of answers after which somebody comes in who could not before."""
    state, behind = routes(), dict[str, Values]()
    first = {str(entry["identity"]): {key: entry[key] for key in PROTECTING if key in entry} for entry in state}
    for answer in answers:
        said = [member(identity, cluster, name=name) for identity, cluster, name in answer]
        try:
            proposal = replace_members(
                state, parse_members(json.dumps(said).encode()), allow_empty=True, left_behind=behind
            )
        except Refused:
            continue
        state, behind = proposal.after, left_behind(proposal, behind)
        assert sorted(str(entry["identity"]) for entry in state) == sorted(identity for identity, _, _ in answer)
        for entry in state:
            had = first.get(str(entry["identity"]), {})
            assert {key: entry.get(key) for key in PROTECTING if key in had} == had
            assert Tier(str(entry.get("tier", "key"))) >= Tier(str(had.get("tier", "legacy")))


def test_no_members_at_all_has_to_be_allowed() -> None:
    """If this fails, a control plane that lost its database puts everybody out."""
    with pytest.raises(Refused, match="names no member at all"):
        taken(routes())
    assert taken(routes(), allow_empty=True).text == "[]\n"
    assert taken(routes("[]")).text == "[]"


@pytest.mark.parametrize(
    "members",
    [
        [member("gw", private_ip="10.0.1.2"), member("dev")],
        [member("gw", private_ip="here")],
        [member("gw", mask="24")],
        [member("gw", ciders=["192.168.1.5/24"])],
        [member("gw", ciders=[7])],
        [member("gw", cider_mapping={"10.9.0.0/16": "10.8.0.0/16"})],
        [member("gw", "a\x1b[31m")],
    ],
)
def test_what_the_server_would_refuse_is_not_taken(members: list[Values]) -> None:
    """If this fails, one wrong entry of a control plane puts an alarm up, and no member changes any more."""
    with pytest.raises(Refused) as caught:
        taken(routes(), *members)
    assert caught.value.kind == "unfit"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"{}", b'"x"', b"[null]", b"[[]]", b"[1]", b"[{}]", b"[" * 99, b"[{]", b"\xff\xfe[", b"[]x",
        json.dumps([member("gw"), member("gw", "2")]).encode(),
        json.dumps([member("gw") | {"identity": ""}]).encode(),
        json.dumps([member("gw") | {"identity": 5}]).encode(),
        json.dumps([member("gw") | {"cluster": 1}]).encode(),
        json.dumps([member("gw", ciders="10.0.0.0/8")]).encode(),
        json.dumps([member("gw", ciders={})]).encode(),
        json.dumps([member("gw", cider_mapping=[])]).encode(),
        json.dumps([member("gw", name=None, private_ip=None)]).encode(),
        b'[{"identity": "a", "identity": "b"}]',
    ],
)  # fmt: skip
def test_what_is_no_list_of_members_is_none(data: bytes) -> None:
    """If this fails, an error page or a null empties the members' file."""
    with pytest.raises(ProtocolError) as caught:
        parse_members(data)
    assert str(caught.value).isprintable()


def test_fields_beyond_the_exchange_are_not_listened_to() -> None:
    """If this fails, whoever holds the control plane sets keys of members, or enables them."""
    said = member("db", "2", private_ip="10.0.1.1", enabled=True, public_key=KEY, psk_file="/etc/shadow", tier="legacy")
    (db,) = taken(routes(), said)
    assert (db["enabled"], "public_key" in db, "psk_file" in db, "tier" in db) == (False, False, False, False)


def test_others_are_told_of_those_who_are_in() -> None:
    """If this fails, a steered server lets in who is disabled or expired here, or cannot read the list."""
    text = TEXT.replace('"tier": "shared"', '"tier": "shared", "expires_at": "2026-05-31"')
    (gw,) = members_told(routes(text), NOW)
    assert gw == {
        "name": "", "cluster": "1", "identity": "gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
        "gateway": "", "ciders": ["192.168.1.0/24"],
    }  # fmt: skip
    told = members_told(routes(), NOW)
    assert parse_members(json.dumps(told).encode()), "what we tell we understand"
    assert json.dumps(told).find(KEY) < 0


def test_clusters_have_the_seeds_numbers_where_they_are_numbers() -> None:
    """If this fails, the seed's control plane does not know which cluster is meant."""
    assert [cluster_id(name) for name in ("7", "0", "18446744073709551615")] == [7, 0, 2**64 - 1]
    names = ["07", "-1", "1.0", "beijing", "", "٣", "18446744073709551616", "9" * 5000]
    assert [cluster_id(name) for name in names] == names


def test_a_report_says_who_was_heard_when() -> None:
    """If this fails, a control plane shows members as away that are there."""
    document = {"sessions": [{"cluster": "7", "identity": "gw", "proof_age_s": 2.5}]}
    assert connections_told(document, 1000.0) == [{"cluster_id": 7, "identity": "gw", "last_active": 997}]
    assert connections_told({}, 1000.0) == []


def test_a_report_is_read_with_care() -> None:
    """If this fails, a steered server writes nonsense or the future into what people look at."""
    unix = int(NOW.timestamp())
    said: list[object] = [
        {"cluster_id": 7, "identity": "gw", "last_active": 5},
        {"cluster_id": "beijing", "identity": "dev", "last_active": 2**62},
        {"cluster_id": "beijing", "identity": "db", "last_active": None},
    ]
    expected = {("7", "gw"): 5, ("beijing", "dev"): unix, ("beijing", "db"): unix}
    assert parse_connections(said, NOW) == expected
    wrongs: list[object] = [
        None, 1, [], {}, {"cluster_id": True, "identity": "a"}, {"cluster_id": 1, "identity": ""},
        {"cluster_id": 1.5, "identity": "a"}, {"cluster_id": 1, "identity": "a", "last_active": -1},
        {"cluster_id": 1, "identity": "a", "last_active": "now"},
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(ProtocolError):
            parse_connections([wrong], NOW)
