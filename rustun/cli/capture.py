"""`rustun capture`: packets of one member as they cross this host's TUN device, as a pcapng file.

Rules of this module
  1. A packet socket of this process sees them; the tunnel's own process has no part in it, and no cost.
  2. Whose a packet is, the longest prefix says, as everywhere, in the cluster as it was when the capture began.
  3. What found no room is counted and told, and so is how many of the packets that came were of nobody that was asked
     for. A file ends at its limit, a reader that goes ends it as well.
  4. A file is new and its owner's alone (0600): it holds what people say to each other.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, BinaryIO, Final

from rustun import pcapng
from rustun.admin.control_client import read_status
from rustun.admin.units import size
from rustun.backends.packet_socket import LARGEST_BYTES, PacketSocket, Seen
from rustun.cli.whom import whom
from rustun.errors import HostError, RightsError, UsageError
from rustun.link.asked import unknown_member
from rustun.protocol.packet import IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, flow_addresses, flow_key
from rustun.protocol.routing import ClusterRoutes

LOOK_MS: Final = 200  # how late a signal is heard
MAX_FLOWS: Final = 4096  # remembered; then the memory is emptied
STANDARD_OUTPUT: Final = Path("-")
FILE_BUFFER_BYTES: Final = 1 << 20
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be captured, and when it is enough; None is no limit.

    Attributes:
        member: identity, empty for everybody.
        direction: "in" (out of the tunnel into this host), "out", or "both".
        kept_bytes: of each packet.
        packets: how many are kept.
        seconds: how long it takes.
        megabytes: of the file.
    """

    member: str
    direction: str = "both"
    kept_bytes: int = LARGEST_BYTES
    packets: int | None = None
    seconds: float | None = None
    megabytes: int = 1000


class Filter:
    """Tells which packets are wished for.

    Args:
        peers: of the status document.
    Raises: UsageError: there is no such member.
    """

    def __init__(self, wish: Wish, peers: Sequence[Mapping[str, Any]]) -> None:
        self._wish = wish
        self._owners: ClusterRoutes[str] = ClusterRoutes()
        self._flows: dict[tuple[bool, bytes], bool] = {}
        for peer in peers:
            for prefix in (*peer["ciders"], peer["address"], peer["address6"]):
                if prefix:
                    self._add(prefix, peer["identity"])
        if wish.member and all(peer["identity"] != wish.member for peer in peers):
            raise unknown_member(wish.member, [str(peer["identity"]) for peer in peers])

    def _add(self, prefix: str, identity: str) -> None:
        with suppress(ValueError):  # somebody has it already, as two servers may tell: the first one counts
            self._owners.add(ip_network(prefix), identity)

    def takes(self, seen: Seen) -> bool:
        """Tell whether a packet is wished for."""
        if self._wish.direction not in ("both", "out" if seen.goes_out else "in"):
            return False
        if not self._wish.member:
            return True
        version = seen.data[0] >> 4 if seen.data else 0
        if version not in (4, 6) or len(seen.data) < (IPV4_HEADER_BYTES if version == 4 else IPV6_HEADER_BYTES):
            return False
        flow = (seen.goes_out, flow_key(seen.data, 0))
        known = self._flows.get(flow)
        if known is None:
            if len(self._flows) >= MAX_FLOWS:
                self._flows.clear()
            known = self._flows[flow] = self._is_theirs(*flow)
        return known

    def _is_theirs(self, goes_out: bool, key: bytes) -> bool:
        version, source, destination = flow_addresses(key)
        return self._owners.destination(destination if goes_out else source, version) == self._wish.member


@dataclass
class Tally:
    """What was kept, packets by direction and bytes of the file."""

    incoming: int = 0
    outgoing: int = 0
    bytes: int = 0


def capture(wish: Wish, out: Path, control: Path | None) -> int:
    """Capture until a signal, a limit, the reader's end or that of the device; return 0.

    Args:
        out: the file, which must not be there; "-" for standard output, a pipe to an analyser.

    Raises: UsageError: no client, or no such member. RightsError: not without CAP_NET_RAW. HostError.
    """
    document: dict[str, Any] = read_status(whom(control, clients_first=True))
    if document.get("role") != "client":
        raise UsageError("only a client has a TUN device", "run it on a member's host; rustun trace asks a server")
    chosen = Filter(wish, document.get("peers") or [])
    device = str((document.get("tun") or {}).get("name") or "")
    with closing(PacketSocket(device, wish.kept_bytes)) as packets, _opened(out) as output, _stopped() as stopped:
        print(f"capturing at {device}; Ctrl-C ends it", file=sys.stderr)
        tally, why = _record(wish, chosen, packets, output, device, stopped)
        came, dropped = packets.counts()
        try:
            output.write(pcapng.statistics(0, time.time_ns(), came, dropped))
            output.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())  # nobody is left to write to at the end
        except OSError as error:
            raise _unwritten(out, error) from error
    whose = f" of {wish.member}" if wish.member else ""
    total = tally.incoming + tally.outgoing
    print(
        f"{why}: {total} packets{whose} ({tally.incoming} in, {tally.outgoing} out), {size(tally.bytes)}; "
        f"{came} came in all, {dropped} were dropped for want of room",
        file=sys.stderr,
    )
    return 0


def _record(
    wish: Wish, chosen: Filter, packets: PacketSocket, output: BinaryIO, device: str, stopped: Callable[[], bool]
) -> tuple[Tally, str]:
    """Write packets until it is enough; return what was kept, and why it ended."""
    tally = Tally()
    words = f"member {wish.member}, {wish.direction}" if wish.member else wish.direction
    began = time.monotonic()
    poll = select.poll()
    poll.register(packets.fileno(), select.POLLIN)
    try:
        tally.bytes += output.write(pcapng.header([pcapng.Interface(device, pcapng.LINKTYPE_RAW, words)]))
        why = ""
        while not (full := _full(wish, tally)):
            if not why and (why := _over(wish, began, stopped)):
                packets.shut()  # what crossed before belongs to it
            seen = packets.read()
            if seen is None:
                if why:
                    return tally, why
                output.flush()  # who reads along sees what there is
                poll.poll(LOOK_MS)
            elif chosen.takes(seen):
                direction = pcapng.OUTBOUND if seen.goes_out else pcapng.INBOUND
                tally.bytes += output.write(pcapng.packet(0, seen.at_ns, seen.data, seen.length, direction))
                tally.outgoing += seen.goes_out
                tally.incoming += not seen.goes_out
        return tally, full
    except BrokenPipeError:
        return tally, "the reader has gone"
    except HostError as error:
        return tally, error.message
    except OSError as error:
        raise _unwritten(Path("the capture"), error) from error


def _over(wish: Wish, began: float, stopped: Callable[[], bool]) -> str:
    """Say why nothing more is to be seen; empty: go on."""
    if stopped():
        return "ended"
    return "as long as wished" if wish.seconds is not None and time.monotonic() - began >= wish.seconds else ""


def _full(wish: Wish, tally: Tally) -> str:
    """Say why nothing more is to be kept; empty: go on."""
    if wish.packets is not None and tally.incoming + tally.outgoing >= wish.packets:
        return "as many packets as wished"
    return "the file has its limit" if tally.bytes >= wish.megabytes * MEGABYTE else ""


def _unwritten(out: Path, error: OSError) -> HostError:
    return HostError(f"{out} cannot be written: {error.strerror}", "name another place with -w FILE")


@contextmanager
def _opened(out: Path) -> Iterator[BinaryIO]:
    if out == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            raise UsageError("a capture is nothing for a terminal", "write -w FILE, or pipe it: -w - | tcpdump -r -")
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise HostError(f"{out} is there already", "name another file with -w") from error
    except PermissionError as error:
        raise RightsError(f"{out} may not be written", "name another place with -w FILE") from error
    except OSError as error:
        raise _unwritten(out, error) from error
    opened = os.fdopen(descriptor, "wb", FILE_BUFFER_BYTES)
    try:
        yield opened
    finally:
        with suppress(OSError):  # a full disk was told by then: all is flushed before
            opened.close()


@contextmanager
def _stopped() -> Iterator[Callable[[], bool]]:
    """Return whether somebody asked for the end, while this is entered."""
    heard: list[int] = []
    ends = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.signal(number, lambda got, _: heard.append(got)) for number in ends}
    try:
        yield lambda: bool(heard)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
