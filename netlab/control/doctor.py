"""`lab-doctor`: what of this machine a laboratory needs, tried one by one, and what is done without it.

Rules of this module
  1. Nothing is believed: each facility is tried, inside namespaces of this command's own, by the words that a
     laboratory uses. Nothing is made in the machine's own.
  2. What is missing is either impossible to do without (the exit code is then 4), or something takes its place, or some
     commands lack it; each with the exact command that mends it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final, Literal

from netlab import kernel, nat, rtnetlink
from netlab.errors import EXIT_ENVIRONMENT, EXIT_OK, EnvironmentLacks, LabError
from netlab.links import diversion, shaping
from netlab.links.impairment import Impairment
from netlab.namespaces import TUN_DEVICE, enter_own_world, need_tun_device
from netlab.topology import FIRST_INDEX
from rustun.ops.lab.records import LabNat

SCHEMA: Final = 1
State = Literal["ok", "replaced", "missing", "impossible"]
MARKS: Final[Mapping[str, str]] = {"ok": "ok", "replaced": "replaced", "missing": "missing", "impossible": "IMPOSSIBLE"}
NEAR: Final = (FIRST_INDEX, "near0", "02:00:00:00:00:01")
FAR: Final = (FIRST_INDEX + 1, "far0", "02:00:00:00:00:02")
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI_VNET: Final = 0x0001 | 0x1000 | 0x4000
_REQUEST: Final = struct.Struct("16sH22x")
_PROGRAMS: Final = (  # program, package, what is lacking without it
    ("ip", "iproute2", "links with an MTU or by the wire"),
    ("tc", "iproute2", "links by netem and tbf; the wire takes their place"),
    ("iperf3", "iperf3", "bench: the second opinion of the built-in load"),
    ("openvpn", "openvpn", "bench: rows of that peer"),
    ("wireguard-go", "wireguard-go", "bench: rows of that peer"),
    ("wg", "wireguard-tools", "bench: rows of wireguard-go"),
    ("systemd-nspawn", "systemd-container", "lab-up --machines"),
    ("debootstrap", "debootstrap", "lab-up --machines"),
)


@dataclass(frozen=True, slots=True)
class Facility:
    """What was found of one thing; `without` says what is lacking or takes its place, `mend` is a command."""

    name: str
    state: State
    why: str = ""
    without: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A thing to be tried inside, and what it means that it fails."""

    name: str
    work: Callable[[], object]
    otherwise: State
    without: str
    mend: str


def run(*, as_json: bool) -> int:
    """Try everything and print what was found; return the exit code: 4 where a laboratory cannot run at all."""
    found = [_tun_device(), _user_namespaces(), *_inside(), *_programs()]
    if as_json:
        document = {"schema": SCHEMA, "can_run": _can_run(found), "facilities": [asdict(one) for one in found]}
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(table(found)))
    return EXIT_OK if _can_run(found) else EXIT_ENVIRONMENT


def _can_run(found: Sequence[Facility]) -> bool:
    return not any(one.state == "impossible" for one in found)


def table(found: Sequence[Facility]) -> list[str]:
    """Return the lines for people: a line for each thing, and below what is missing, what to do."""
    lines = []
    width = max(len(one.name) for one in found)
    for one in found:
        words = "; ".join(filter(None, (one.why, one.without)))
        lines.append(f"{one.name:<{width}}  {MARKS[one.state]:<10}  {words}".rstrip())
        if one.mend:
            lines.append(f"{'':<{width}}  mend it with: {one.mend}")
    lines.append("a laboratory can run here" if _can_run(found) else "a laboratory cannot run here")
    return lines


def _tun_device() -> Facility:
    try:
        need_tun_device()
    except EnvironmentLacks as error:
        return Facility("TUN device", "impossible", error.message, "no member has a tunnel", error.remedy)
    return Facility("TUN device", "ok")


def _user_namespaces() -> Facility:
    """Try, in a child of one thread, what an ordinary user's laboratory begins with."""
    child = os.fork()
    if child == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWUSER)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number == 0:
        return Facility("user namespaces", "ok")
    mend = "sudo sysctl user.max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0"
    state: State = "replaced" if os.geteuid() == 0 else "impossible"
    without = "laboratories are root's alone" if os.geteuid() == 0 else "run it as root"
    return Facility("user namespaces", state, os.strerror(number), without, mend)


def _inside() -> Iterator[Facility]:
    """Enter namespaces of this process's own, try everything there, and yield what the child inside has found."""
    reading, writing = os.pipe()

    def inside() -> int:
        found = [asdict(one) for one in _tried()]
        with os.fdopen(writing, "w") as answer:
            json.dump(found, answer)
        return EXIT_OK

    try:
        enter_own_world(inside)
    except EnvironmentLacks as error:
        os.close(writing)
        os.close(reading)
        yield Facility("namespaces", "impossible", error.message, "nothing else was tried", error.remedy)
        return
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    yield Facility("namespaces", "ok") if text else Facility("namespaces", "impossible", "the child inside has died")
    yield from (Facility(**one) for one in json.loads(text or "[]"))


def _tried() -> list[Facility]:
    return [_try(trial) for trial in _trials()]


def _try(trial: _Trial) -> Facility:
    try:
        trial.work()
    except (OSError, LabError, ImportError) as error:
        why = error.message if isinstance(error, LabError) else error.strerror if isinstance(error, OSError) else ""
        said = (why or str(error)).rpartition("Error: ")[2]  # of a program's words, those of the kernel
        return Facility(trial.name, trial.otherwise, said, trial.without, trial.mend)
    return Facility(trial.name, "ok")


def _trials() -> tuple[_Trial, ...]:
    module, device = "sudo modprobe {} (not in kernels for clouds: sudo apt-get install linux-image-amd64)", NEAR[1]
    wire = "the wire, a process of the laboratory, takes its place"
    delay, rate = Impairment(delay_s=0.01), Impairment(rate_bit_s=100_000_000)
    router = LabNat("router", "open", (), 30, 300)
    nft = "sudo apt-get install nftables; kernel: sudo modprobe -a nf_tables nft_nat nft_masq nft_ct"
    egress = shaping.rules(device, Impairment(black_hole_icmp=True), "")
    return (
        _Trial("TUN in a namespace", _open_tun, "impossible", "no member has a tunnel", module.format("tun")),
        _Trial("veth", _lay_cable, "impossible", "no node has a cable", module.format("veth")),
        _Trial("bridge", _make("bridge"), "missing", "no hosts in LANs: [lab.host]", module.format("bridge")),
        _Trial("nft NAT", partial(_load, nat.rules(router)), "missing", "no [lab.nat], no masquerade", nft),
        _Trial("nft egress", partial(diversion.run, [egress]), "missing", "no link by the wire", "Linux 5.16 or newer"),
        _Trial("netem", _shaped(delay, "netem"), "replaced", wire, module.format("sch_netem")),
        _Trial("tbf", _shaped(rate, "tbf"), "replaced", wire, module.format("sch_tbf")),
        _Trial("ifb", _make("ifb"), "replaced", "not used: each direction is impaired where it is sent", ""),
        _Trial("AF_PACKET", _listen, "impossible", "nothing can be proven or captured", module.format("af_packet")),
        _Trial("scapy", _find_scapy, "missing", "no attack tests", "pip install scapy"),
    )


def _open_tun() -> None:
    tun = os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tun, _TUNSETIFF, _REQUEST.pack(b"doctor0", _IFF_TUN_NO_PI_VNET))
    finally:
        os.close(tun)


def _lay_cable() -> None:
    with open("/proc/thread-self/ns/net", "rb") as here:
        rtnetlink.send([rtnetlink.veth((*NEAR, here.fileno()), (*FAR, here.fileno()))], "veth")
    rtnetlink.send([rtnetlink.up(NEAR[0]), rtnetlink.up(FAR[0])], "veth")


def _make(kind: str) -> Callable[[], None]:
    index = FIRST_INDEX + 2 + len(kind)
    return partial(rtnetlink.send, [rtnetlink.device(kind, index, f"{kind}9", f"02:00:00:00:01:{index:02x}")], kind)


def _load(rules: str) -> None:
    diversion.run([shaping.Command(("nft", "-f", "-"), rules)])


def _shaped(impairment: Impairment, way: Literal["netem", "tbf"]) -> Callable[[], None]:
    return partial(diversion.run, shaping.shape(NEAR[1], impairment, way))


def _listen() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0).close()


def _find_scapy() -> None:
    if importlib.util.find_spec("scapy") is None:
        raise ImportError("not installed")


def _programs() -> Iterator[Facility]:
    for program, package, without in _PROGRAMS:
        if shutil.which(program):
            yield Facility(program, "ok")
        else:
            yield Facility(program, "missing", "not installed", without, f"sudo apt-get install {package}")
