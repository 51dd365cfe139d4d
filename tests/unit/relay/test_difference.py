"""What a new set of members changes: named, bounded, and never by its values."""

from __future__ import annotations

import json
from collections.abc import Collection

from rustun.config.keys import encode_key
from rustun.config.routes import RoutesFile, at_once, parse_routes
from rustun.relay.difference import NAMED, Difference, difference

Entry = dict[str, object]


def entry(identity: str, number: int, **more: object) -> Entry:
    address = f"10.0.{number >> 8}.{number & 255}"
    return {"cluster": "c", "identity": identity, "private_ip": address, "mask": "255.255.0.0", **more}


def routes(*entries: Entry) -> RoutesFile:
    return at_once(parse_routes(json.dumps(entries).encode(), "routes.json"))


def compared(before: RoutesFile, after: RoutesFile, maybe: Collection[str] = ()) -> Difference:
    everybody = {member.identity for member in (*before.members, *after.members)}
    return difference(before, after, maybe or everybody)


def test_who_came_and_went_and_in_what_the_others_changed() -> None:
    """Nobody can tell months later who let somebody in, or what was changed of whom."""
    before = routes(entry("a", 1), entry("b", 2, ciders=["192.168.1.0/24"]), entry("c", 3), entry("d", 4))
    key = encode_key(b"\x09" + bytes(31))
    after = routes(
        entry("e", 5), entry("b", 2, ciders=[], tier="shared"), entry("d", 4, public_key=key, enabled=False),
        entry("a", 1),
    )  # fmt: skip
    found = compared(before, after)
    assert (found.added, found.removed) == (("e",), ("c",))
    assert found.changed == {"b": ("ciders", "tier"), "d": ("public_key", "enabled")}
    assert found.unnamed == 0
    assert key not in str(found)


def test_a_line_of_the_file_is_no_change() -> None:
    """An entry more at the top of the file, and everybody below counts as changed."""
    before, after = routes(entry("a", 1)), routes(entry("z", 9), entry("a", 1))
    assert compared(before, after) == Difference(added=("z",))


def test_only_who_may_differ_is_looked_at() -> None:
    """A change of one member in a fleet of 10,000 costs a comparison of them all."""
    before, after = routes(entry("a", 1), entry("b", 2)), routes(entry("a", 3), entry("b", 4))
    assert compared(before, after, {"b"}) == Difference(changed={"b": ("private_ip",)})


def test_a_whole_fleet_is_named_in_part() -> None:
    """The first reload after a large edit writes a megabyte into the audit log."""
    count = NAMED + 7
    before = routes(*(entry(f"old-{number}", number) for number in range(1, count + 1)),
                    *(entry(f"both-{number}", 1000 + number) for number in range(1, count + 1)))  # fmt: skip
    after = routes(*(entry(f"new-{number}", number) for number in range(1, count + 1)),
                   *(entry(f"both-{number}", 2000 + number) for number in range(1, count + 1)))  # fmt: skip
    found = compared(before, after)
    assert found.added == tuple(f"new-{number}" for number in range(1, NAMED + 1))
    assert found.removed == tuple(f"old-{number}" for number in range(1, NAMED + 1))
    assert len(found.changed) == NAMED
    assert found.unnamed == 21
