"""Proposals: who is added, edited or removed, and what may not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.config.routes import at_once, parse_routes
from rustun.protocol.tiers import Tier
from rustun.web.changes import SHOWN, Values
from rustun.web.management import NO_KEY, Proposal, Refused, add, edit, remove, remove_cluster
from rustun.web.routes_text import RoutesText, cut_routes

KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
OTHER_KEY = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
TEXT = f"""[
  {{ "cluster": "beijing", "identity": "gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
    "gateway": "10.0.1.254", "ciders": ["192.168.1.0/24"], "public_key": "{KEY}", "note": "ours" }},
  {{ "cluster": "beijing", "identity": "dev", "private_ip": "10.0.1.2", "mask": "255.255.255.0" }},
  {{ "cluster": "shanghai", "identity": "db", "private_ip": "10.0.1.1", "mask": "255.255.255.0", "tier": "shared",
    "expires_at": "2027-06-30", "enabled": false }}
]
"""
LIKELY = {
    "name": st.sampled_from([None, "", "A name"]),
    "private_ip": st.sampled_from([None, "10.0.1.7", "10.0.1.1", "x", 7]),
    "ciders": st.sampled_from([None, [], ["10.9.0.0/16"], ["192.168.1.0/24"], "10.0.0.0/8", [None]]),
    "cider_mapping": st.sampled_from([None, {}, {"10.9.0.0/16": "10.8.0.0/16"}]),
    "public_key": st.sampled_from([None, "", [], KEY, [KEY], OTHER_KEY, [KEY, OTHER_KEY], "x"]),
    "tier": st.sampled_from([None, "", "key", "shared", "legacy", [], {}, "x"]),
    "enabled": st.sampled_from([None, True, False, "no"]),
    "expires_at": st.sampled_from([None, "", "2030-01-01", "x"]),
    "psk_file": st.sampled_from([None, "", "x.psk"]),
    "pubkey": st.sampled_from([None, ""]),
}
EDITS = st.tuples(st.sampled_from(["gw", "dev", "db"]), st.fixed_dictionaries({}, optional=LIKELY))


def routes(text: str = TEXT) -> RoutesText:
    """Return a state of the file."""
    return cut_routes(Path("routes.json"), text.encode())


def refused(make: Callable[[], Proposal]) -> Refused:
    """Return why there is no proposal."""
    with pytest.raises(Refused) as caught:
        make()
    return caught.value


def entry(state: RoutesText, identity: str) -> Values:
    """Return a member's entry."""
    return next(one for one in state if one["identity"] == identity)


def test_an_edit_names_what_changes_and_the_rest_stays_to_the_letter() -> None:
    """If this fails, the seed's tools take the keys of members away that they know nothing of."""
    seeds = {
        "cluster": "beijing", "identity": "gw", "private_ip": "10.0.1.9", "mask": "255.255.255.0",
        "gateway": "10.0.1.254", "ciders": ["192.168.1.0/24"],
    }  # fmt: skip
    proposal = edit(routes(), "beijing", "gw", seeds)
    assert proposal.after.text == TEXT.replace('"private_ip": "10.0.1.1"', '"private_ip": "10.0.1.9"', 1)
    assert [str(change) for change in proposal.changes] == ["gw changed (private_ip)"]
    assert proposal.member == {**entry(routes(), "gw"), "private_ip": "10.0.1.9"}
    assert '-  { "cluster": "beijing", "identity": "gw", "private_ip": "10.0.1.1"' in proposal.difference
    assert '+  { "cluster": "beijing", "identity": "gw", "private_ip": "10.0.1.9"' in proposal.difference


def test_null_takes_a_key_out_where_it_keeps_nobody_out() -> None:
    """If this fails, an expiry cannot be lifted, or a member is enabled by leaving a word out."""
    proposal = edit(routes(), "shanghai", "db", {"expires_at": None, "name": None})
    assert "expires_at" not in entry(proposal.after, "db")
    for key in ("enabled", "tier", "public_key"):
        assert refused(partial(edit, routes(), "shanghai", "db", {key: None})).kind == "wrong"


@pytest.mark.parametrize(
    ("identity", "values"),
    [
        ("gw", {"public_key": OTHER_KEY}),
        ("gw", {"public_key": ""}),
        ("gw", {"public_key": [KEY, OTHER_KEY]}),
        ("gw", {"psk_file": ""}),
        ("gw", {"tier": "shared"}),
        ("dev", {"tier": "shared"}),
        ("dev", {"tier": "legacy"}),
        ("dev", {"enabeld": False}),
        ("dev", {"identity": "gw2"}),
        ("dev", {"cluster": "shanghai"}),
    ],
)
def test_what_keeps_somebody_out_is_not_taken_away(identity: str, values: Values) -> None:
    """If this fails, whoever may edit names puts a key of his own in the place of another's."""
    assert refused(lambda: edit(routes(), "beijing", identity, values)).kind == "wrong"


def test_protection_can_be_added() -> None:
    """If this fails, a member of the shared tier cannot be moved to keys from the dashboard."""
    proposal = edit(routes(), "shanghai", "db", {"tier": "key", "public_key": OTHER_KEY, "enabled": True})
    found = entry(proposal.after, "db")
    assert (found["tier"], found["public_key"], found["enabled"]) == ("key", OTHER_KEY, True)
    assert edit(routes(), "beijing", "dev", {"public_key": OTHER_KEY}).member


@given(st.lists(EDITS, max_size=6))
def test_no_row_of_edits_lowers_what_protects_a_member(edits: list[tuple[str, dict[str, object]]]) -> None:
    """If this fails, there is a way around by several small steps."""
    state = routes()
    for identity, values in edits:
        before = entry(state, identity)
        try:
            state = edit(state, str(before["cluster"]), identity, values).after
        except Refused:
            continue
        after = entry(state, identity)
        at_once(parse_routes(state.data, "routes.json"))
        assert not before.get("public_key") or after["public_key"] == before["public_key"]
        if after.get("tier") != before.get("tier"):
            assert Tier(str(after["tier"])) >= Tier(str(before.get("tier", "key")))
        let_in = after.get("enabled", True) is True and before.get("enabled", True) is False
        assert not let_in or values.get("enabled") is True
        assert "expires_at" in values or after.get("expires_at") == before.get("expires_at")
        assert after.get("note") == before.get("note")


def test_a_new_member_gets_what_it_does_not_say() -> None:
    """If this fails, the seed's form (cluster, name, ciders) makes no member, or one with an address that is taken."""
    proposal = add(routes(), {"cluster": "beijing", "name": "Laptop", "ciders": []})
    member = proposal.member
    assert member is not None and len(str(member["identity"])) == 36
    assert (member["private_ip"], member["mask"], member["gateway"]) == ("10.0.1.3", "255.255.255.0", "10.0.1.254")
    assert list(member) == [key for key in SHOWN if key in member]
    own = add(routes(), {"cluster": "hamburg", "identity": "a", "private_ip": "10.3.0.1", "mask": "255.255.255.0"})
    assert [change.kind for change in own.changes] == ["added"]


def test_an_address_is_taken_from_a_network_that_has_one() -> None:
    """If this fails, the last address of a full network is given twice."""
    small = json.dumps(
        [
            {"cluster": "c", "identity": "a", "private_ip": "10.0.0.1", "mask": "255.255.255.252"},
            {"cluster": "c", "identity": "b", "private_ip": "10.0.0.2", "mask": "255.255.255.252"},
        ]
    )
    assert "no free address" in refused(lambda: add(routes(small), {"cluster": "c"})).message
    assert refused(lambda: add(routes(), {"cluster": "none"})).kind == "wrong"
    odd = json.dumps([{"cluster": "c", "identity": "a", "private_ip": "x", "mask": "255.0.0.0"}])
    assert refused(lambda: add(routes(odd), {"cluster": "c"})).kind == "wrong"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: add(routes(), {"cluster": "shanghai", "identity": "gw"}), "taken"),
        (lambda: add(routes(), {"identity": "x"}), "wrong"),
        (lambda: add(routes(), {"cluster": 7}), "wrong"),
        (lambda: add(routes(), {"cluster": "beijing", "psk_file": "/etc/shadow"}), "wrong"),
        (lambda: add(routes(), {"cluster": "beijing", "private_ip": "10.0.1.2"}), "unfit"),
        (lambda: add(routes(), {"cluster": "beijing", "identity": "a\nb"}), "unfit"),
        (lambda: edit(routes(), "beijing", "db", {}), "missing"),
        (lambda: edit(routes(), "beijing", "dev", {"private_ip": "10.0.1.1"}), "unfit"),
        (lambda: edit(routes(), "beijing", "dev", {"ciders": 5}), "unfit"),
        (lambda: edit(routes(), "beijing", "dev", {"mask": None}), "unfit"),
        (lambda: remove(routes(), "beijing", "nobody"), "missing"),
        (lambda: remove_cluster(routes(), "beijng"), "missing"),
        (lambda: remove(routes(TEXT.replace("10.0.1.2", "10.0.1.1")), "shanghai", "db"), "broken"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(make: Callable[[], Proposal], kind: str) -> None:
    """If this fails, a file that the server refuses is written, or nobody is told why it was not."""
    found = refused(make)
    assert found.kind == kind
    assert found.message and found.message.isprintable()
    if kind in ("unfit", "broken"):
        assert found.told["problems"]


def test_a_word_nearly_right_is_answered_with_the_right_one() -> None:
    """If this fails, a slip of the finger sends somebody into the file to look."""
    assert refused(lambda: remove_cluster(routes(), "beijng")).remedy == "did you mean beijing?"
    assert refused(lambda: edit(routes(), "beijing", "dev", {"enabeld": False})).remedy == "did you mean enabled?"


def test_members_and_clusters_go() -> None:
    """If this fails, somebody who left stays a member, or others go with him."""
    assert [one["identity"] for one in remove(routes(), "beijing", "gw").after] == ["dev", "db"]
    proposal = remove_cluster(routes(), "beijing")
    assert [one["identity"] for one in proposal.after] == ["db"]
    assert [str(change) for change in proposal.changes] == ["gw removed", "dev removed"]
    assert proposal.member is None


def test_notes_are_of_the_member_alone() -> None:
    """If this fails, who adds a member reads about everybody else's."""
    proposal = edit(routes(), "beijing", "dev", {"private_ip": "10.0.1.255"})
    assert len(proposal.notes) == 1 and "broadcast address" in proposal.notes[0]


def test_a_new_member_without_a_key_is_told() -> None:
    """If this fails, somebody adds a member by the dashboard, and it never comes in."""
    new: Values = {"cluster": "beijing", "identity": "new"}
    assert NO_KEY in add(routes(), new).notes
    assert NO_KEY not in add(routes(), {**new, "public_key": OTHER_KEY}).notes
    assert NO_KEY not in add(routes(), {**new, "tier": "shared"}).notes
    assert NO_KEY not in add(routes(TEXT.replace(f'"public_key": "{KEY}", ', "")), new).notes


def test_what_to_do_about_one_problem_is_told_with_it() -> None:
    """If this fails, a form says that a prefix is wrong and keeps the right one to itself."""
    error = refused(lambda: edit(routes(), "beijing", "dev", {"ciders": ["10.9.0.5/24"]}))
    assert "host bits" in error.message and "10.9.0.0/24" in error.remedy
    two = {"ciders": ["10.9.0.5/24"], "private_ip": "x"}
    assert refused(lambda: edit(routes(), "beijing", "dev", two)).remedy == ""


def test_marks_and_line_ends_of_a_file_stay() -> None:
    """If this fails, a file from another system changes in every line with the first edit."""
    data = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    before = cut_routes(Path("routes.json"), data)
    after = edit(before, "beijing", "dev", {"name": "Zoë"}).after.data
    assert after == data.replace(b'.2", "mask": "255.255.255.0"', b'.2", "mask": "255.255.255.0", "name": "Zo\xc3\xab"')
