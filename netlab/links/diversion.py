"""Inside a namespace: run commands there, and divert what leaves by an interface to a tap that the wire reads.

    stack -> eth0 -> egress hook --- fwd ---> tap "wire10" ===> wire (Lane) ===> socket with OWN_MARK -> eth0 -> cable

Rules
  1. The interfaces of the nodes stay as they are, with addresses, routes and sessions; only the way of frames changes.
  2. The tap has no address and no IPv6, so that the stack never sends into it by itself; a laboratory's processes see
     one more interface and nothing of it. It ends with the last descriptor of it, which is the wire's.
  3. Nothing here decides: what to run is data made in shaping.py.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from netlab.errors import EnvironmentLacks, LabError
from netlab.links.shaping import OWN_MARK, Command
from netlab.namespaces import TUN_DEVICE

EGRESS_REMEDY: Final = "Linux 5.16 or newer with CONFIG_NETFILTER_EGRESS has it, and nftables 1.0.1"
_SIOCGIFMTU: Final = 0x8921
_TUNSETIFF: Final = 0x400454CA
_IFF_TAP_NO_PI: Final = 0x0002 | 0x1000
_TAP_QUEUE_FRAMES: Final = 10_000  # of what the wire has not read yet: a burst of a fast sender
_SEND_BUFFER_BYTES: Final = 8 << 20
_REQUEST: Final = struct.Struct("16sH22x")  # struct ifreq with flags


def tap_name(index: int) -> str:
    """Return the name of the tap for the interface of that index; at most 15 letters."""
    return f"wire{index}"


def run(commands: Iterable[Command]) -> None:
    """Run commands in the calling thread's namespace.

    Raises:
        EnvironmentLacks: there is no such program, or the kernel has no egress hook.
        LabError: the kernel or the program refused one; those before it have been done.
    """
    for command in commands:
        try:
            done = subprocess.run(command.words, input=command.stdin, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            package = "nftables" if command.words[0] == "nft" else "iproute2"
            raise EnvironmentLacks(f"no program {command.words[0]}", f"apt-get install {package}") from error
        if done.returncode:
            complaint = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
            if command.words[0] == "nft":
                raise EnvironmentLacks(f"nft refuses a hook at an egress: {complaint}", EGRESS_REMEDY)
            raise LabError(f"{' '.join(command.words)}: {complaint}")


def open_tap(name: str) -> int:
    """Make a tap in the calling thread's namespace and return its descriptor. Raises LabError."""
    tap = os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(tap, _TUNSETIFF, _REQUEST.pack(name.encode(), _IFF_TAP_NO_PI))
        without_ipv6 = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
        if without_ipv6.exists():
            without_ipv6.write_text("1")
        run([Command(("ip", "link", "set", "dev", name, "txqueuelen", str(_TAP_QUEUE_FRAMES), "up"))])
    except OSError as error:
        os.close(tap)
        raise LabError(f"tap {name}: {error.strerror}") from error
    except LabError:
        os.close(tap)
        raise
    return tap


def open_outlet(device: str) -> socket.socket:
    """Return a socket of the calling thread's namespace that sends whole frames out of a device, past the diversion."""
    outlet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    outlet.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, OWN_MARK)
    outlet.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    outlet.bind((device, 0))
    return outlet


def mtu(device: str) -> int:
    """Return the MTU of a device in the calling thread's namespace, in bytes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, struct.pack("16si12x", device.encode(), 0))
    return int(struct.unpack("16si12x", answer)[1])
