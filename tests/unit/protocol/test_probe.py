"""Packets that questions are put with: whole ones, as the data path takes them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rustun.protocol.packet import DropReason, examine, flow_addresses, flow_key
from rustun.protocol.probe import probe_packet


@pytest.mark.parametrize(("source", "destination"), [("10.0.1.1", "192.168.7.9"), ("fd00::1", "2001:db8::9")])
@pytest.mark.parametrize("size", [40, 84, 1500, 65_535])
def test_the_data_path_takes_them_for_what_they_are(source: str, destination: str, size: int) -> None:
    """If this fails, a question about a packet is answered for one that would be dropped as malformed."""
    here, there = ip_address(source), ip_address(destination)
    packet = probe_packet(here, there, size)
    assert len(packet) == size
    assert examine(packet, 0, size, 0, 0, 65_535) == 0
    assert examine(packet, 0, size, 0, 0, size - 1) == DropReason.TOO_BIG
    assert flow_addresses(flow_key(packet, 0)) == (here.version, int(here), int(there))


@pytest.mark.parametrize(
    ("source", "destination", "size"),
    [("10.0.1.1", "fd00::1", 84), ("10.0.1.1", "10.0.1.2", 19), ("fd00::1", "fd00::2", 39), ("::1", "::2", 65_536)],
)
def test_what_is_no_packet_is_refused(source: str, destination: str, size: int) -> None:
    """If this fails, a question about a packet that cannot be is answered as if it could."""
    with pytest.raises(ValueError, match="IP"):
        probe_packet(ip_address(source), ip_address(destination), size)
