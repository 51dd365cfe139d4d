"""Small fleets to plan laboratories for."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from netlab.topology import HostSpec, LabSpec, MemberSpec


def member(identity: str, cluster: str, address: str, *ciders: str, six: str = "") -> MemberSpec:
    """Return a member with one address, or two."""
    addresses = tuple(ip_interface(text) for text in (address, six) if text)
    return MemberSpec(identity, cluster, addresses, tuple(map(ip_network, ciders)), f"client-{identity}")


def two_tenants() -> LabSpec:
    """Return two clusters with different addresses, and a printer behind one member."""
    members = (
        member("a1", "a", "10.0.1.1/24", "192.168.1.0/24", six="fd00:1::1/64"),
        member("a2", "a", "10.0.1.2/24", six="fd00:1::2/64"),
        member("b1", "b", "10.0.2.1/24", "192.168.10.0/24"),
        member("b2", "b", "10.0.2.2/24"),
    )
    return LabSpec("two", ("198.18.0.1",), members, (HostSpec("printer", "b1", (ip_address("192.168.10.7"),)),))


def twins() -> LabSpec:
    """Return two clusters with the same addresses."""
    members = tuple(member(f"{c}{n}", c, f"10.0.0.{n}/24") for c in "ab" for n in (1, 2))
    return LabSpec("twins", ("relay.example",), members)


def with_a_lone_member() -> LabSpec:
    """Return a pair, and a member alone in its cluster that has the address of one of them and a host behind it."""
    members = (
        member("a1", "a", "10.0.0.1/24"),
        member("a2", "a", "10.0.0.2/24"),
        member("lone", "b", "10.0.0.2/24", "192.168.7.0/24"),
    )
    return LabSpec("lone", ("198.18.0.1",), members, (HostSpec("shed", "lone", (ip_address("192.168.7.7"),)),))
