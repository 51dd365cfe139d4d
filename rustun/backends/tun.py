"""A TUN device with offload headers on Linux (linux/if_tun.h).

Rules of this module
  1. Every packet has a 10-byte offload header in front (IFF_VNET_HDR), also where offloads are off: then it is zero.
  2. What the kernel hands over is set by TUNSETOFFLOAD: with "csum" packets whose checksum is still to be made, with
     "tso4", "tso6" and "uso" packets of up to 64 KB to be cut at gso_size. Kernels under 6.2 refuse "uso".
  3. A write that the kernel refuses is one packet lost, never an exception: a peer can provoke it. Only a device that
     is gone is an error.
  4. The device lives as long as the descriptor: whatever happens to this process, it leaves no device behind. One that
     is there already is somebody else's, also where nobody holds it.
  5. A device that somebody gave another name or took to another namespace is gone: rules and routes go by its name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
from typing import Final

from rustun.backends.base import OFFLOAD_HEADER_BYTES, Buffer
from rustun.backends.capabilities import CAP_NET_ADMIN, permitted_capabilities
from rustun.errors import HostError, RightsError

DEVICE_FILE: Final = "/dev/net/tun"
IFREQ: Final = struct.Struct("16sH22x")  # struct ifreq: name, flags
IFNAME_BYTES: Final = 15  # IFNAMSIZ without the NUL

# _IOW('T', n, int) on every architecture with the generic ioctl numbers (x86, Arm, RISC-V, s390)
TUNSETIFF: Final = 0x400454CA
TUNSETOFFLOAD: Final = 0x400454D0
TUNSETVNETHDRSZ: Final = 0x400454D8

SIOCGIFHWADDR: Final = 0x8927
ARPHRD_NONE: Final = 0xFFFE  # linux/if_arp.h

IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
IFF_TUN_EXCL: Final = 0x8000

TUN_F_CSUM: Final = 0x01
TUN_F_TSO4: Final = 0x02
TUN_F_TSO6: Final = 0x04
TUN_F_USO4: Final = 0x20
TUN_F_USO6: Final = 0x40

# from best to none; the first that the kernel takes is used
OFFLOAD_SETS: Final = (
    (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6, frozenset({"csum", "tso4", "tso6", "uso"})),
    (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, frozenset({"csum", "tso4", "tso6"})),
    (TUN_F_CSUM, frozenset({"csum"})),
    (0, frozenset[str]()),
)
NOTHING_THERE: Final = frozenset({errno.EAGAIN, errno.EINTR, errno.EINVAL})  # EINVAL: a packet it cannot describe
GONE: Final = frozenset({errno.EBADFD, errno.EBADF, errno.ENODEV, errno.ENXIO})
RIGHTS_REMEDY: Final = (
    "run it as root (sudo rustun connect ...), or from a service with AmbientCapabilities=CAP_NET_ADMIN"
)


class LinuxTun:
    """A TUN device (base.TunDevice); made by `open_device`."""

    def __init__(self, fd: int, name: str, offloads: frozenset[str]) -> None:
        self._fd = fd
        self._name = name
        self._offloads = offloads
        self._index = _index_of(name)

    @property
    def name(self) -> str:
        """The interface's name."""
        return self._name

    @property
    def offloads(self) -> frozenset[str]:
        """What the kernel may hand over and takes: a subset of {"csum", "tso4", "tso6", "uso"}."""
        return self._offloads

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""
        return self._fd

    def is_up(self) -> bool:
        """Return whether the interface is set up (on kernels before 5.1: whether it is there).

        Raises: HostError when the device is gone.
        """
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        events = sum(event for _, event in poll.poll(0))
        if events & (select.POLLERR | select.POLLNVAL) or _index_of(self._name) != self._index:
            raise HostError(f"TUN device {self._name} is gone")
        return bool(events & select.POLLOUT)  # tun_chr_poll: a device that is down takes nothing

    def read_into(self, header: memoryview, packet: memoryview) -> int | None:
        """Read one offload header (10 bytes) and one packet (give it room for 65,535 bytes).

        Returns: the packet's length in bytes, or None when nothing is there.
        Raises: HostError when the device is gone.
        """
        try:
            return os.readv(self._fd, (header, packet)) - OFFLOAD_HEADER_BYTES
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return None
            raise self._gone(error) from error

    def write(self, header: Buffer, *packet: Buffer) -> bool:
        """Write one packet, in one or more parts, with its offload header.

        Returns: False when the kernel refused just this packet, or the interface is down: count it, go on.
        Raises: HostError when the device is gone.
        """
        try:
            os.writev(self._fd, (header, *packet))
        except OSError as error:
            if error.errno in GONE:
                raise self._gone(error) from error
            return False
        return True

    def close(self) -> None:
        """Close the descriptor; the kernel removes the device, its addresses and routes."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _gone(self, error: OSError) -> HostError:
        return HostError(f"TUN device {self._name} is gone: {error.strerror}")


def open_device(name: str, offload: bool) -> LinuxTun:
    """Create a TUN device.

    Args:
        name: up to 15 bytes; may hold one `%d` for the kernel to number.
        offload: let the kernel hand over packets of up to 64 KB without checksum; as much of it as it offers.
    Raises: RightsError (no CAP_NET_ADMIN, no /dev/net/tun), HostError (name taken or not a name).
    """
    if not 0 < len(name.encode()) <= IFNAME_BYTES:
        raise HostError(f'"{name}" is no interface name', "1 to 15 bytes; %d lets the kernel choose a number")
    try:
        fd = os.open(DEVICE_FILE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _open_error(error) from error
    try:
        request = IFREQ.pack(name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)
        answer = fcntl.ioctl(fd, TUNSETIFF, request)
        fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", OFFLOAD_HEADER_BYTES))
        offloads = _set_offloads(fd, offload)
    except OSError as error:
        os.close(fd)
        raise _create_error(name, error) from error
    return LinuxTun(fd, IFREQ.unpack(answer)[0].rstrip(b"\0").decode(), offloads)


def _index_of(name: str) -> int:
    """Return the number of the interface that has a name now, 0 where none has."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _has_no_link_layer(name: str) -> bool:
    """Return whether an interface may be a TUN device."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
            answer = fcntl.ioctl(any_socket, SIOCGIFHWADDR, IFREQ.pack(name.encode(), 0))
    except OSError:  # it has just gone
        return True
    return bool(IFREQ.unpack(answer)[1] == ARPHRD_NONE)


def _set_offloads(fd: int, offload: bool) -> frozenset[str]:
    for flags, names in OFFLOAD_SETS if offload else OFFLOAD_SETS[-1:]:
        try:
            fcntl.ioctl(fd, TUNSETOFFLOAD, flags)
        except OSError as error:
            if error.errno != errno.EINVAL or not flags:
                raise
        else:
            return names
    return frozenset()


def _open_error(error: OSError) -> HostError | RightsError:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return RightsError(
            f"no TUN device on this host ({DEVICE_FILE}: {error.strerror})",
            "load the module (modprobe tun); in a container pass the device in (--device /dev/net/tun)",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        if CAP_NET_ADMIN not in permitted_capabilities():
            return RightsError("no permission to create a TUN device", RIGHTS_REMEDY)
        return RightsError(
            f"{DEVICE_FILE} may not be opened: {error.strerror}",
            f"chmod 0666 {DEVICE_FILE} is usual, since a capability guards it, or SupplementaryGroups= with its group; "
            f"in a container pass the device in (--device {DEVICE_FILE})",
        )
    return HostError(f"cannot open {DEVICE_FILE}: {error.strerror}")


def _create_error(name: str, error: OSError) -> HostError | RightsError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return RightsError("no permission to create a TUN device", RIGHTS_REMEDY)
    if error.errno == errno.EBUSY:
        return held_error(name) if _has_no_link_layer(name) else name_error(name)
    if error.errno in (errno.EINVAL, errno.EEXIST):
        return name_error(name)
    return HostError(f'cannot make a TUN device named "{name}": {error.strerror}')


def held_error(name: str) -> HostError:
    """Return the error for a TUN device that another process has, or that somebody made to stay."""
    find = f"sudo grep -lsw {name} /proc/[0-9]*/fdinfo/* (the first number)"
    remedy = f"choose another name (--tun), or find it: {find}; none: ip tuntap del dev {name} mode tun"
    return HostError(f"TUN device {name} is held by a running process, or was made to stay", remedy)


def name_error(name: str) -> HostError:
    """Return the error for a name that no TUN device can have."""
    reason = f'cannot make a TUN device named "{name}": not a name, or an interface of another kind has it'
    return HostError(reason, f"choose another name (--tun); `ip link show {name}` shows what is there")
