"""The border to the kernel against a real one: TUN devices in a network namespace of the test's own.

Each test runs a function of this file in a process of its own (private_namespace.py), so that nothing is made in the
host's own namespaces. There the process is the far side of a device: what it writes to the descriptor comes "from the
tunnel", what it reads is what the kernel sends.
"""

from __future__ import annotations

import os
import random
import select
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from netlab.worlds.ip_packets import ACK, PSH, SYN, TCP, UDP, ip_packet, tcp_packet, udp_packet
from rustun.backends.tun import LinuxTun, open_device
from rustun.client.datagrams import DatagramGatherer
from rustun.protocol.checksum import address_sum
from rustun.protocol.offload import cut_from_kernel, from_kernel, to_kernel
from rustun.protocol.packet import MAX_PACKET_BYTES, examine, flow_key
from rustun.protocol.segmentation import segment
from tests.netlab.child import run_inside
from tests.netlab.private_namespace import enter

if TYPE_CHECKING:
    from pyroute2 import IPRoute

MTU = 1500
HOST = {4: "10.9.0.1", 6: "fd09::1"}  # the kernel's address on the device
PEER = {4: "10.9.0.2", 6: "fd09::2"}  # ours, behind it
BEYOND = {4: "10.9.1.2", 6: "fd09:1::2"}  # behind the second device: the kernel forwards to it
READY_S = 10.0  # only reached where something hangs
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PORTS = (40000, 5000)
MSS_OPTION = struct.pack("!BBH", 2, 4, 1440)
RTN_LOCAL = 2  # linux/rtnetlink.h: packets for it come in here
LOOK_SECONDS = 0.002
IFA_F_NODAD = 2  # linux/if_addr.h: no neighbour can have it, so it may be used at once
LIMIT_S = 60  # only reached where something hangs
KERNEL_SECONDS = 10.0  # never reached unless the kernel drops what it was given
UDP_SEGMENT = 103  # linux/udp.h, setsockopt level SOL_UDP


class Device:
    """One TUN device, with the far side's end of it."""

    def __init__(self, tun: LinuxTun) -> None:
        self.tun = tun
        self._header = bytearray(10)
        self._packet = bytearray(MAX_PACKET_BYTES)

    def write_item(self, packet: bytes, flags: int, segment_bytes: int) -> int:
        """Do what a client does with an item from a peer; return the drop reason, or 0 when the kernel took it."""
        buffer = bytearray(packet)
        reason = examine(buffer, 0, len(buffer), flags, segment_bytes, MTU)
        if not reason:
            header = bytearray(10)
            to_kernel(flags, segment_bytes, memoryview(buffer), len(buffer), header)
            assert self.tun.write(header, buffer), f"the kernel refused {buffer[:60].hex()} under {header.hex()}"
        return reason

    def read_waiting(self) -> Iterator[tuple[bytes, bytearray]]:
        """Take what the kernel has sent so far, as (offload header, packet), but its own chatter."""
        while (length := self.tun.read_into(memoryview(self._header), memoryview(self._packet))) is not None:
            packet = bytearray(self._packet[:length])
            if protocol_of(packet) in (TCP, UDP):
                yield bytes(self._header), packet

    def read_packets(self, count: int) -> list[tuple[bytes, bytearray]]:
        """Wait until the kernel has sent so many packets, and take what is there then; fewer where it sends no more."""
        found = list(self.read_waiting())
        while len(found) < count and select.select([self.tun], [], [], KERNEL_SECONDS)[0]:
            found += self.read_waiting()
        return found

    def read_until_silent(self) -> list[tuple[bytes, bytearray]]:
        """Wait for the kernel to send something, and take all that is there then."""
        os.set_blocking(self.tun.fileno(), True)
        found: list[tuple[bytes, bytearray]] = []
        while not found:
            length = self.tun.read_into(memoryview(self._header), memoryview(self._packet))
            assert length is not None
            packet = bytearray(self._packet[:length])
            if protocol_of(packet) in (TCP, UDP):
                found.append((bytes(self._header), packet))
        os.set_blocking(self.tun.fileno(), False)
        return found + list(self.read_waiting())


def protocol_of(packet: bytearray) -> int:
    return packet[9] if packet[0] >> 4 == 4 else packet[6]


def transport_of(packet: bytes | bytearray) -> int:
    return 20 if packet[0] >> 4 == 4 else 40


def make_device(name: str, subnet: int, offload: bool) -> Device:
    from pyroute2 import IPRoute  # here, since only the process inside needs what it costs

    tun = open_device(name, offload)
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname=name)[0]
        netlink.addr("add", index=index, address=f"10.9.{subnet}.1", prefixlen=24)
        address6 = "fd09::1" if not subnet else f"fd09:{subnet}::1"
        netlink.addr("add", index=index, address=address6, prefixlen=64, flags=IFA_F_NODAD)
        netlink.link("set", index=index, state="up", mtu=MTU)
        while not is_local(netlink, address6):
            select.select((), (), (), LOOK_SECONDS)
    return Device(tun)


def is_local(netlink: IPRoute, address: str) -> bool:
    """Say whether the kernel takes packets for an IPv6 address yet: its work queue does that some time after `add`."""
    from pyroute2 import NetlinkError

    try:
        return bool(netlink.route("get", dst=address, family=socket.AF_INET6)[0]["type"] == RTN_LOCAL)
    except NetlinkError:
        return False


def forward_between_devices() -> None:
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", name).write_text("1")


def poison(packet: bytes) -> bytes:
    """Return a packet whose checksum field says nonsense, as a peer may send it under the checksum bit."""
    field = transport_of(packet) + (16 if protocol_of(bytearray(packet)) == TCP else 6)
    return packet[:field] + b"\xde\xad" + packet[field + 2 :]


def seen_after_one_hop(packet: bytes | bytearray) -> bytes:
    """Return a packet as a router passes it on: time to live one less, header checksum anew."""
    if packet[0] >> 4 == 6:
        return bytes(packet[:7]) + bytes((packet[7] - 1,)) + bytes(packet[8:])
    first, second = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    number = int.from_bytes(packet[4:6], "big")
    return ip_packet(first, second, packet[9], bytes(packet[20:]), number, packet[8] - 1)


# What runs inside ----------------------------------------------------------------------------------------------------


def tcp_to_host(version: int) -> None:
    device = make_device("in0", 0, offload=True)
    peer, host = PEER[version], HOST[version]
    with socket.create_server((host, PORTS[1]), family=FAMILY[version]) as listener:
        syn = tcp_packet(peer, host, PORTS, sequence=99, flags=SYN, options=MSS_OPTION)
        assert not device.write_item(poison(syn), 1, 0)
        answer = device.read_until_silent()[0][1]
        at = transport_of(answer)
        acknowledge = int.from_bytes(answer[at + 4 : at + 8], "big") + 1
        assert not device.write_item(tcp_packet(peer, host, PORTS, sequence=100, acknowledge=acknowledge), 0, 0)
        data = random.Random(version).randbytes(30_001)
        large = tcp_packet(peer, host, PORTS, data, sequence=100, acknowledge=acknowledge, flags=ACK | PSH)
        assert not device.write_item(poison(large), 1, 1400)
        with listener.accept()[0] as connection:
            assert connection.recv(len(data), socket.MSG_WAITALL) == data
            with pytest.raises(BlockingIOError):
                connection.recv(1, socket.MSG_DONTWAIT)


def udp_to_host(version: int) -> None:
    device = make_device("in0", 0, offload=True)
    assert "uso" in device.tun.offloads, "this kernel is older than 6.2"
    peer, host = PEER[version], HOST[version]
    data = random.Random(version).randbytes(10_500)
    with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(KERNEL_SECONDS)
        receiver.bind((host, PORTS[1]))
        assert not device.write_item(poison(udp_packet(peer, host, PORTS, data)), 1, 1200)
        assert not device.write_item(poison(udp_packet(peer, host, PORTS, b"last")), 1, 0)
        expected = [data[at : at + 1200] for at in range(0, len(data), 1200)] + [b"last"]
        assert [receiver.recv(2000) for _ in expected] == expected


def forwarded(version: int) -> None:
    """The kernel cuts and sums for a device without offloads; `segment` has to cut the same bytes."""
    entry, leave = make_device("in0", 0, offload=True), make_device("out0", 1, offload=False)
    forward_between_devices()
    data = random.Random(version).randbytes(20_003)
    peer, beyond = PEER[version], BEYOND[version]
    larges = [
        (tcp_packet(peer, beyond, PORTS, data, sequence=0xFFFFF000, flags=ACK | PSH | 1), 1400),
        (tcp_packet(peer, beyond, PORTS, data, options=MSS_OPTION, flags=ACK | 0x80), 501),
        (udp_packet(peer, beyond, PORTS, data, identification=0xFFFE), 1300),
    ]
    for large, segment_bytes in larges:
        assert not entry.write_item(poison(large), 1, segment_bytes)
        protocol = protocol_of(bytearray(large))
        view = memoryview(large)
        ours = segment(view, segment_bytes, transport_of(large), protocol, address_sum(view), finish=True)
        kernels = leave.read_packets(len(ours))
        assert [header for header, _ in kernels] == [bytes(10)] * len(ours)
        assert [bytes(packet) for _, packet in kernels] == [seen_after_one_hop(piece) for piece in ours]


def tcp_from_host(version: int) -> None:
    device = make_device("in0", 0, offload=True)
    with socket.socket(FAMILY[version], socket.SOCK_STREAM) as sender:
        sender.setblocking(False)
        sender.connect_ex((PEER[version], PORTS[1]))
        _, syn = device.read_until_silent()[0]
        at = transport_of(syn)
        ports = (PORTS[1], int.from_bytes(syn[at : at + 2], "big"))
        sequence = int.from_bytes(syn[at + 4 : at + 8], "big") + 1
        peer, host = PEER[version], HOST[version]
        answer = tcp_packet(peer, host, ports, acknowledge=sequence, flags=SYN | ACK, options=MSS_OPTION)
        assert not device.write_item(answer, 0, 0)
        device.read_until_silent()  # its acknowledgement: by now the connection is up
        assert select.select([], [sender], [], READY_S)[1], "the kernel has not taken the handshake's answer"
        data = random.Random(version).randbytes(20_000)
        sender.send(data)
        check_items_of_kernel(device, TCP, data, 1440)


def udp_from_host(version: int) -> None:
    device = make_device("in0", 0, offload=True)
    data = random.Random(version).randbytes(10_500)
    with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as sender:
        sender.connect((PEER[version], PORTS[1]))
        sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1200)
        sender.send(data)
        check_items_of_kernel(device, UDP, data, 1200)
        sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 100)  # under the least segment size: has to be cut here
        sender.send(data[:1050])
        ports = (sender.getsockname()[1], PORTS[1])
    header, packet = device.read_until_silent()[0]
    assert from_kernel(header, packet, len(packet)) is None
    pieces = cut_from_kernel(header, memoryview(packet))
    assert len(pieces) == 11
    for number, piece in enumerate(pieces):
        payload = data[number * 100 : min(number * 100 + 100, 1050)]
        whole = udp_packet(HOST[version], PEER[version], ports, payload)
        assert piece[transport_of(piece) :] == whole[transport_of(whole) :]
        assert not examine(piece, 0, len(piece), 0, 0, MTU)


def check_items_of_kernel(device: Device, protocol: int, data: bytes, segment_bytes: int) -> None:
    """What the kernel hands over has to be derivable from flags and segment size alone, its checksum field included."""
    header, packet = device.read_until_silent()[0]
    assert protocol_of(packet) == protocol
    item = from_kernel(header, packet, len(packet))
    assert item == (1, segment_bytes)
    assert examine(packet, 0, len(packet), *item, MTU) == 0
    derived_header, derived = bytearray(10), bytearray(poison(bytes(packet)))
    to_kernel(*item, memoryview(derived), len(derived), derived_header)
    assert derived == packet
    assert derived_header == header
    at = transport_of(packet)
    headers = at + ((packet[at + 12] >> 4) * 4 if protocol == TCP else 8)
    assert data.startswith(packet[headers:])
    assert len(packet) - headers > segment_bytes


def gathered_datagrams(version: int) -> None:
    """What a client gathers into one write has to arrive as the datagrams that it was, and be forwarded as these."""
    entry, leave = make_device("in0", 0, offload=True), make_device("out0", 1, offload=False)
    forward_between_devices()
    data = [random.Random(number).randbytes(100) for number in range(150)] + [b"shorter"]
    with socket.socket(FAMILY[version], socket.SOCK_DGRAM) as receiver:
        receiver.bind((HOST[version], PORTS[1]))
        receiver.settimeout(KERNEL_SECONDS)
        assert write_gathered(entry, [udp_packet(PEER[version], HOST[version], PORTS, each) for each in data]) == 3
        assert [receiver.recv(2048) for _ in data] == data
    larger = [each * 12 for each in data]
    assert write_gathered(entry, [udp_packet(PEER[version], BEYOND[version], PORTS, each) for each in larger]) == 3
    passed = [bytes(packet) for _, packet in leave.read_packets(len(larger))]
    at = transport_of(passed[0])
    whole = [udp_packet(PEER[version], BEYOND[version], PORTS, each) for each in larger]
    assert [packet[at:] for packet in passed] == [packet[at:] for packet in whole]


def write_gathered(device: Device, packets: list[bytes]) -> int:
    """Do what a client does with a record of these; return how many writes that took."""
    gatherer, header, writes = DatagramGatherer(device.tun), bytearray(10), 0
    plain = memoryview(bytearray(b"".join(poison(packet) for packet in packets)))
    start = 0
    for packet in packets:
        if not gatherer.add(plain, start, len(packet)):
            assert gatherer.write(header)[2]
            writes += 1
            assert gatherer.add(plain, start, len(packet))
        start += len(packet)
    assert gatherer.write(header)[2]
    return writes + 1


def hostile_items(version: int) -> None:
    """Whatever a peer makes up, what leaves at the far end has the addresses that were checked."""
    entry, leave = make_device("in0", 0, offload=True), make_device("out0", 1, offload=False)
    forward_between_devices()
    rng = random.Random(version)
    peer, beyond = PEER[version], BEYOND[version]
    taken = refused = 0
    for _ in range(3000):
        make = rng.choice((tcp_packet, udp_packet))
        packet = bytearray(make(peer, beyond, PORTS, rng.randbytes(rng.choice((0, 40, 700, 3000)))))
        for _ in range(rng.choice((0, 0, 1, 2))):  # a bit anywhere in the headers but the addresses
            at = rng.choice(
                [*range(12 if version == 4 else 8), *range(transport_of(packet), transport_of(packet) + 20)]
            )
            packet[at % len(packet)] ^= 1 << rng.randrange(8)
        item = (rng.choice((0, 1, 1, 1, 2, 255)), rng.choice((0, 0, 1, 499, 500, 1200, 1460, 65535)))
        if examine(packet, 0, len(packet), *item, MTU):
            refused += 1
            continue
        checked = flow_key(packet, 0)
        header = bytearray(10)
        to_kernel(*item, memoryview(packet), len(packet), header)
        entry.tun.write(header, packet)
        for _, seen in leave.read_waiting():
            assert flow_key(seen, 0) == checked
            taken += 1
    assert taken > 500 and refused > 500, (taken, refused)


SCENARIOS: dict[str, Callable[[int], None]] = {
    scenario.__name__: scenario
    for scenario in (
        tcp_to_host,
        udp_to_host,
        forwarded,
        tcp_from_host,
        udp_from_host,
        gathered_datagrams,
        hostile_items,
    )
}


# What pytest runs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", (4, 6))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_real_kernel_agrees(scenario: str, version: int) -> None:
    """If this fails, a real kernel refuses, garbles or redirects what we derive, or we misread what it hands over."""
    run_inside(__name__, scenario, str(version), limit_s=LIMIT_S)


def inside(scenario: str, version: str) -> int:
    """Run one scenario in a namespace of this process's own."""
    enter()
    SCENARIOS[scenario](int(version))
    return 0
