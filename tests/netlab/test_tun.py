"""LinuxTun against the real kernel, each test in a network namespace of its own."""

from __future__ import annotations

import os
import select
import socket
import struct
from ipaddress import ip_interface

import pytest
from pyroute2 import IPRoute

from netlab.worlds.host_picture import assert_same, host_picture
from rustun.backends import tun
from rustun.backends.base import HostState
from rustun.backends.capabilities import CAP_NET_ADMIN
from rustun.backends.host_network import GSO_MAX_BYTES, LinuxHostNetwork
from rustun.backends.tun import LinuxTun, open_device
from rustun.errors import HostError, RightsError
from tests.netlab.private_namespace import STATE, drop_capabilities, in_private_namespace

IPV4 = struct.Struct("!BBHHHBBH4s4s")
OWN, PEER = "10.9.0.1", "10.9.0.2"
HOST = LinuxHostNetwork(STATE)  # one device at a time


def up(name: str = "rustun%d", *, offload: bool = True, mtu: int = 1500) -> LinuxTun:
    """Return a device that is up, with an address, and routes to 10.9.0.0/24 and fd00:9::/64."""
    device = HOST.open_tun(name, mtu, offload)
    HOST.apply(HostState(device.name, mtu, (ip_interface(f"{OWN}/24"), ip_interface("fd00:9::1/64"))))
    return device


def read_all(device: LinuxTun) -> list[tuple[bytes, bytes]]:
    """Return header and packet of all that is there."""
    header, packet = memoryview(bytearray(10)), memoryview(bytearray(65536))
    found = []
    while (length := device.read_into(header, packet)) is not None:
        found.append((bytes(header), bytes(packet[:length])))
    return found


def icmp_echo(source: str, destination: str) -> bytes:
    """Return an echo request with an IPv4 checksum of its own making."""
    body = struct.pack("!BBHHH", 8, 0, 0xF7FE, 1, 0)  # the checksum of just these bytes
    header = IPV4.pack(0x45, 0, 28, 1, 0, 64, 1, 0, socket.inet_aton(source), socket.inet_aton(destination))
    total = sum(struct.unpack("!10H", header))
    checksum = 0xFFFF - (total % 0xFFFF or 0xFFFF)
    return header[:10] + struct.pack("!H", checksum) + header[12:] + body


@in_private_namespace
def test_names_and_conflicts() -> None:
    """If this fails, a second client takes the first one's device, or says nothing useful."""
    first = open_device("rustun%d", True)
    assert first.name == "rustun0"
    for name, words in (
        ("rustun0", "held by a running process"),
        ("lo", "an interface of another kind"),
        ("far-too-long-a-name", "no interface name"),
        ("", "no interface name"),
        ("a/b", "not a name"),
    ):
        try:
            open_device(name, True)
        except HostError as error:
            assert words in error.message, error.message
            assert error.remedy
        else:
            raise AssertionError(f"{name!r} was accepted")
    first.close()
    first.close()
    assert first.fileno() == -1
    assert open_device("rustun0", False).offloads == frozenset()


@in_private_namespace
def test_missing_rights_name_the_remedy() -> None:
    """If this fails, a user without rights gets a traceback, or no word about the unit."""
    present = tun.DEVICE_FILE
    for file, words in (("/dev/net/no-such-file", "no TUN device on this host"), (present, "no permission")):
        tun.DEVICE_FILE = file  # type: ignore[misc]
        if file == present:
            drop_capabilities()
        try:
            open_device("rustun0", True)
        except RightsError as error:
            assert words in error.message, error.message
            assert error.remedy
        else:
            raise AssertionError("opened without rights")


@in_private_namespace
def test_a_device_file_that_may_not_be_opened_is_named() -> None:
    """If this fails, a service that has the capability is told to get it, and not what its device file lacks."""
    file = STATE / "tun"
    file.touch(mode=0)
    tun.DEVICE_FILE = str(file)  # type: ignore[misc]
    drop_capabilities(1 << CAP_NET_ADMIN)
    with pytest.raises(RightsError, match="/tun may not be opened: Permission denied") as refused:
        open_device("rustun0", True)
    assert "SupplementaryGroups" in refused.value.remedy


@in_private_namespace
def test_nothing_comes_out_of_a_silent_host() -> None:
    """If this fails, the kernel's own chatter (router solicitations, MLD) goes to the relay and spoils counters."""
    with_offload, without = up(), up("second", offload=False)
    assert read_all(with_offload) == []
    assert read_all(without) == []


@in_private_namespace
def test_echo_through_the_device() -> None:
    """If this fails, packets do not enter or leave the host."""
    device = up()
    assert device.read_into(memoryview(bytearray(10)), memoryview(bytearray(2000))) is None
    assert device.write(bytes(10), icmp_echo(PEER, OWN))
    [(header, answer)] = read_all(device)
    assert header == bytes(10)
    assert answer[12:20] == socket.inet_aton(OWN) + socket.inet_aton(PEER)
    assert answer[20] == 0  # echo reply


@in_private_namespace
def test_large_tcp_packets_with_offload_only() -> None:
    """If this fails, throughput falls by a factor of ten (on), or a peer without offloads gets 64 KB (off)."""
    for name, offload in (("with", True), ("without", False)):
        device = up(name, offload=offload)
        assert device.offloads >= ({"csum", "tso4", "tso6"} if offload else set())
        largest = max(len(packet) for _, packet in drive_tcp(device))
        assert (largest > 10_000) if offload else (largest <= 1500), largest
        assert largest <= GSO_MAX_BYTES
        device.close()


def drive_tcp(device: LinuxTun) -> list[tuple[bytes, bytes]]:
    """Answer a connection of this host by hand, let it send, and return the data packets that came."""
    found: list[tuple[bytes, bytes]] = []
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex((PEER, 80))
        [(_, syn)] = read_all(device)
        port, sequence = struct.unpack_from("!H", syn, 20)[0], struct.unpack_from("!I", syn, 24)[0]
        acked = sequence + 1
        device.write(CSUM_HEADER, tcp_packet(port, 1000, acked, 0x12))
        read_all(device)
        sock.send(bytes(4 << 20))
        for _ in range(12):  # the window opens with each acknowledgement
            data = [(header, packet) for header, packet in read_all(device) if len(packet) > 60]
            found += data
            acked += sum(len(packet) - 20 - (packet[32] >> 4) * 4 for _, packet in data)
            device.write(CSUM_HEADER, tcp_packet(port, 1001, acked, 0x10))
    return found


CSUM_HEADER = struct.pack("=BBHHHH", 1, 0, 0, 0, 20, 16)  # VIRTIO_NET_HDR_F_NEEDS_CSUM: the kernel completes it


def tcp_packet(port: int, sequence: int, acked: int, flags: int) -> bytes:
    """Return a segment from the peer without data; SYN with an MSS of 1460 and a window scale of 10."""
    options = bytes([2, 4, 5, 180, 3, 3, 10, 0]) if flags & 2 else b""
    offset = (5 + len(options) // 4) << 4
    tcp = struct.pack("!HHIIBBHHH", 80, port, sequence, acked, offset, flags, 65535, 0, 0) + options
    pseudo = socket.inet_aton(PEER) + socket.inet_aton(OWN) + struct.pack("!HH", 6, len(tcp))
    partial = sum(struct.unpack("!6H", pseudo)) % 0xFFFF
    tcp = tcp[:16] + struct.pack("!H", partial) + tcp[18:]
    length = 20 + len(tcp)
    header = IPV4.pack(0x45, 0, length, 1, 0, 64, 6, 0, socket.inet_aton(PEER), socket.inet_aton(OWN))
    checksum = 0xFFFF - (sum(struct.unpack("!10H", header)) % 0xFFFF or 0xFFFF)
    return header[:10] + struct.pack("!H", checksum) + header[12:] + tcp


@in_private_namespace
def test_refused_packets_are_values() -> None:
    """If this fails, a peer can end a client by sending a packet that the kernel does not take."""
    device = up()
    good = icmp_echo(PEER, OWN)
    for header, packet in (
        (bytes(10), b""),
        (bytes(10), b"\x00" * 40),
        (b"\x01\x01" + bytes(8), good),  # TSO without sizes
        (struct.pack("=BBHHHH", 1, 0xFF, 1, 1, 65535, 65535), good),
    ):
        assert device.write(header, packet) is False
    assert device.write(bytes(10), good) is True


@in_private_namespace
def test_down_is_a_drop_and_gone_is_an_error() -> None:
    """If this fails, a device set down ends the client, or a deleted one makes it spin."""
    device = up()
    with IPRoute() as ip:
        [index] = ip.link_lookup(ifname=device.name)
        ip.link("set", index=index, state="down")
        assert device.write(bytes(10), icmp_echo(PEER, OWN)) is False
        assert read_all(device) == []
        assert not device.is_up()
        ip.link("set", index=index, state="up")
        assert device.is_up()
        ip.link("del", index=index)
    with select.epoll() as epoll:
        epoll.register(device.fileno(), select.EPOLLIN)
        assert epoll.poll(5), "a deleted device is not reported"
    for broken in (device.is_up, lambda: read_all(device), lambda: device.write(bytes(10), icmp_echo(PEER, OWN))):
        try:
            broken()
        except HostError as error:
            assert device.name in error.message
        else:
            raise AssertionError("the device is gone and nobody says so")


@in_private_namespace
def test_a_device_with_another_name_is_gone() -> None:
    """If this fails, a client whose device was renamed says that it is connected, and its own firewall drops all."""
    device = up("rustun0")
    with IPRoute() as ip:
        [index] = ip.link_lookup(ifname="rustun0")
        ip.link("set", index=index, state="down")
        ip.link("set", index=index, ifname="other0")
        ip.link("set", index=index, state="up")
        ip.link("add", ifname="rustun0", kind="veth", peer="cable")
    with pytest.raises(HostError, match="rustun0 is gone"):
        device.is_up()


@in_private_namespace
def test_a_device_that_somebody_made_to_stay_is_not_taken() -> None:
    """If this fails, a client takes the addresses off somebody else's device, and leaves it changed."""
    with IPRoute() as ip:
        ip.link("add", ifname="rustun0", kind="tuntap", mode="tun")
        ip.addr("add", index=ip.link_lookup(ifname="rustun0")[0], address="10.77.0.1", prefixlen=24)
        before = host_picture()
        with pytest.raises(HostError, match="made to stay") as refused:
            HOST.open_tun("rustun0", 1500, True)
        assert "ip tuntap del dev rustun0" in refused.value.remedy
        assert_same(before, host_picture())


@in_private_namespace
def test_closing_removes_the_device() -> None:
    """If this fails, a client that ends leaves a device behind."""
    device = up()
    names = os.listdir("/proc/self/net/dev_snmp6")
    assert device.name in names
    device.close()
    assert device.name not in os.listdir("/proc/self/net/dev_snmp6")
