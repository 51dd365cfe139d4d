"""Who has an address: one table per cluster, longest prefix first, for destinations as well as for sources.

Rules of this module
  1. Destination: the longest prefix in the sender's cluster that contains the address. Source: the longest prefix that
     contains it must belong to the sender. So the owner of a covering prefix cannot speak for a member inside it.
     A member's own address is an entry of 32 or 128 bits.
  2. A prefix has one owner, default routes excepted. A default route leads somewhere only while exactly one member
     offers it; as a source it stands for each member that offers it.
  3. Some addresses never belong inside a tunnel, whoever claims them (`never_inside`).
  4. Addresses are ints with their IP version beside them. A lookup costs one dict access per prefix length in use.

The real side of an address mapping is simply not in the table, so it is no valid source.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Final, Generic, TypeVar

Prefix = IPv4Network | IPv6Network
T = TypeVar("T")

_ADDRESS_BITS: Final = {4: 32, 6: 128}
_SHORTEST_BITS: Final = {4: 8, 6: 7}  # 10.0.0.0/8 and fc00::/7 are the widest networks that somebody may have at home

# RFC 6890 and its registries: this host, loopback, link-local, multicast, limited broadcast, IPv4-mapped.
_NEVER_INSIDE: Final = tuple(
    IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32")
) + tuple(IPv6Network(text) for text in ("::/128", "::1/128", "::ffff:0:0/96", "fe80::/10", "ff00::/8"))


class PrefixTable(Generic[T]):
    """Maps prefixes of both IP versions to values; the longest prefix that contains an address wins.

    Values may be anything but None.
    """

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        # Per version: (bits to shift an address by, network number -> value), longest first, only lengths in use.
        self._levels: dict[int, list[tuple[int, dict[int, T]]]] = {4: [], 6: []}

    def lookup(self, address: int, version: int) -> T | None:
        """Return the value of the longest prefix that contains `address` (32 or 128 bits), or None."""
        for shift, values in self._levels[version]:
            value = values.get(address >> shift)
            if value is not None:
                return value
        return None

    def get(self, prefix: Prefix) -> T | None:
        """Return the value of exactly this prefix, or None."""
        shift, number = _shift_and_number(prefix)
        for level_shift, values in self._levels[prefix.version]:
            if level_shift == shift:
                return values.get(number)
        return None

    def insert(self, prefix: Prefix, value: T) -> None:
        """Set the value of a prefix, replacing the one it had."""
        shift, number = _shift_and_number(prefix)
        levels = self._levels[prefix.version]
        for level_shift, values in levels:
            if level_shift == shift:
                values[number] = value
                return
        levels.append((shift, {number: value}))
        levels.sort(key=lambda level: level[0])

    def remove(self, prefix: Prefix) -> None:
        """Forget a prefix. Raises: KeyError when it is not there; the table is unchanged then."""
        shift, number = _shift_and_number(prefix)
        levels = self._levels[prefix.version]
        for at, (level_shift, values) in enumerate(levels):
            if level_shift == shift and number in values:
                del values[number]
                if not values:
                    del levels[at]
                return
        raise KeyError(str(prefix))


def _shift_and_number(prefix: Prefix) -> tuple[int, int]:
    shift = _ADDRESS_BITS[prefix.version] - prefix.prefixlen
    return shift, int(prefix.network_address) >> shift


def _never_inside_table() -> PrefixTable[bool]:
    table: PrefixTable[bool] = PrefixTable()
    for prefix in _NEVER_INSIDE:
        table.insert(prefix, True)
    return table


_NEVER_INSIDE_TABLE: Final = _never_inside_table()


def never_inside(address: int, version: int) -> bool:
    """Tell whether an address has no business in a tunnel, as source or destination."""
    return _NEVER_INSIDE_TABLE.lookup(address, version) is not None


def like_default(prefix: Prefix) -> bool:
    """Tell whether a prefix is a default route, or so wide that a few of its kind make one."""
    return prefix.prefixlen < _SHORTEST_BITS[prefix.version]


class ClusterRoutes(Generic[T]):
    """The prefixes of one cluster's members.

    `T` is what stands for a member: its identity, or an object that is compared by identity. Who changes a table tells
    whoever remembers its answers.
    """

    __slots__ = ("_defaults", "_table")

    def __init__(self) -> None:
        self._table: PrefixTable[T] = PrefixTable()
        self._defaults: dict[int, list[T]] = {4: [], 6: []}

    def add(self, prefix: Prefix, owner: T) -> None:
        """Give a prefix to its owner.

        Raises: ValueError when somebody has it already (default routes excepted); the table is unchanged then.
        """
        if prefix.prefixlen == 0:
            owners = self._defaults[prefix.version]
            if owner in owners:
                raise ValueError(f"{owner} already has {prefix}")
            owners.append(owner)
            return
        present = self._table.get(prefix)
        if present is not None:
            raise ValueError(f"{present} already has {prefix}")
        self._table.insert(prefix, owner)

    def remove(self, prefix: Prefix, owner: T) -> None:
        """Take a prefix from its owner. Raises: KeyError when it is not his; the table is unchanged then."""
        if prefix.prefixlen == 0:
            owners = self._defaults[prefix.version]
            if owner not in owners:
                raise KeyError(f"{owner} does not have {prefix}")
            owners.remove(owner)
            return
        if self._table.get(prefix) != owner:
            raise KeyError(f"{owner} does not have {prefix}")
        self._table.remove(prefix)

    def destination(self, address: int, version: int) -> T | None:
        """Return whose address this is, or None when it is nobody's or has no business in a tunnel."""
        if never_inside(address, version):
            return None
        owner = self._table.lookup(address, version)
        if owner is None:
            owners = self._defaults[version]
            if len(owners) == 1:
                return owners[0]
        return owner

    def default_owners(self, version: int) -> tuple[T, ...]:
        """Return who offers a default route."""
        return tuple(self._defaults[version])

    def source_ok(self, owner: T, address: int, version: int) -> bool:
        """Tell whether `owner` may send from this address."""
        if never_inside(address, version):
            return False
        holder = self._table.lookup(address, version)
        return holder == owner if holder is not None else owner in self._defaults[version]
