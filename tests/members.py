"""Members as routes.json would make them, for tests of what is built on top."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Interface, ip_network

from rustun.config.member import Member


def member(identity: str, address: str = "10.0.1.2", *ciders: str, cluster: str = "beijing", six: str = "") -> Member:
    """Return an enabled member of one /24 without keys of its own."""
    return Member(
        cluster=cluster,
        identity=identity,
        name=identity.upper(),
        private_ip=IPv4Address(address),
        mask=IPv4Address("255.255.255.0"),
        gateway=None,
        ciders=tuple(ip_network(cider) for cider in ciders),
        cider_mapping=(),
        private_ip6=IPv6Interface(six) if six else None,
        public_keys=(),
        psk_file="",
        psk=None,
        tier=None,
        enabled=True,
        expires_at=None,
        line=1,
    )
