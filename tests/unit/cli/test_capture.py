"""Which packets a capture takes, and what it writes of them; the kernel's part is in tests/netlab."""

from __future__ import annotations

import random
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from netlab.capture import pcapng
from rustun.backends.packet_socket import PacketSocket, Seen
from rustun.cli import main
from rustun.cli.capture import Filter, Wish, _record
from rustun.errors import UsageError
from rustun.protocol.probe import probe_packet


def peer(identity: str, address: str, *ciders: str, six: str = "") -> dict[str, Any]:
    return {"identity": identity, "address": address, "address6": six, "ciders": list(ciders)}


PEERS = [
    peer("wide", "10.0.1.2", "192.168.0.0/16"),
    peer("inner", "10.0.1.3", "192.168.7.0/24", six="fd00::3"),
    peer("out", "10.0.1.4", "0.0.0.0/0"),
    peer("bare", ""),
]


def seen(source: str, destination: str, *, goes_out: bool) -> Seen:
    data = probe_packet(ip_address(source), ip_address(destination))
    return Seen(0, goes_out, data, len(data))


@pytest.mark.parametrize(
    ("far", "member"),
    [
        ("10.0.1.2", "wide"),
        ("192.168.8.1", "wide"),
        ("192.168.7.1", "inner"),
        ("8.8.8.8", "out"),
        ("10.0.1.3", "inner"),
        ("fd00::3", "inner"),
        ("fd00::9", ""),
    ],
)
def test_a_packet_belongs_to_the_longest_prefix(far: str, member: str) -> None:
    """If this fails, packets of one member are in the capture of another, or are missing in their own."""
    near = "fd00::1" if ":" in far else "10.0.1.1"
    for identity in ("wide", "inner", "out"):
        chosen = Filter(Wish(identity), PEERS)
        for _ in range(2):  # as it is remembered, too
            assert chosen.takes(seen(near, far, goes_out=True)) == (identity == member)
            assert chosen.takes(seen(far, near, goes_out=False)) == (identity == member)
            assert chosen.takes(seen(far, near, goes_out=False)) == (identity == member), "direction counts"


class BusyDevice(PacketSocket):
    """Stands for a packet socket: a packet always waits until it is shut, and then so many more that came before."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.is_shut = False

    def fileno(self) -> int:
        return 0

    def read(self) -> Seen | None:
        if self.is_shut:
            self.left -= 1
        return seen("10.0.1.1", "10.0.1.2", goes_out=True) if self.left >= 0 else None

    def shut(self) -> None:
        self.is_shut = True


@pytest.mark.parametrize("wish", [Wish(""), Wish("", seconds=0.0)], ids=["ctrl-c", "seconds"])
def test_what_crossed_before_the_end_is_kept(wish: Wish, tmp_path: Path) -> None:
    """The last packets, which somebody saw and then typed ctrl-C, would be missing, or a busy device never end."""
    asked = iter((False, False, True))
    written = tmp_path / "kept.pcapng"
    with written.open("wb") as output:
        tally, why = _record(wish, Filter(wish, PEERS), BusyDevice(7), output, "tun0", lambda: next(asked))
    kept = 7 if wish.seconds is not None else 2 + 7
    assert (tally.outgoing, why) == (kept, "as long as wished" if wish.seconds is not None else "ended")
    assert sum(isinstance(one, pcapng.Packet) for one in pcapng.read(written)) == kept


def test_directions() -> None:
    """If this fails, a capture of what comes holds what goes."""
    for member in ("", "wide"):
        out = seen("10.0.1.1", "10.0.1.2", goes_out=True)
        back = seen("10.0.1.2", "10.0.1.1", goes_out=False)
        for direction, expected in (("in", (False, True)), ("out", (True, False)), ("both", (True, True))):
            chosen = Filter(Wish(member, direction), PEERS)
            assert (chosen.takes(out), chosen.takes(back)) == expected


def test_odd_packets_are_nobodys() -> None:
    """If this fails, a packet that is none ends the capture in a traceback."""
    rng = random.Random(4)
    chosen, everybody = Filter(Wish("wide"), PEERS), Filter(Wish(""), PEERS)
    for size in (0, 1, 19, 20, 39, 40, 60):
        for first in (0x00, 0x45, 0x60, 0xF5):
            data = bytes([first])[:size] + rng.randbytes(max(size - 1, 0))
            chosen.takes(Seen(0, True, data, size))
            assert everybody.takes(Seen(0, True, data, size))


def test_a_member_that_is_not_there() -> None:
    """If this fails, a misspelt name gives an empty capture."""
    with pytest.raises(UsageError) as caught:
        Filter(Wish("wid"), PEERS)
    assert caught.value.remedy == 'did you mean "wide"?'


@pytest.mark.parametrize("arguments", [["m"], ["m", "-w", "f", "-c", "0"], ["m", "-w", "f", "--direction", "up"]])
def test_usage(arguments: list[str], tmp_path: Path) -> None:
    """If this fails, a slip starts a capture without an end, or none."""
    assert CliRunner().invoke(main, ["capture", *arguments], prog_name="rustun").exit_code == 2


def test_a_server_has_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If this fails, who captures on the relay gets a traceback."""
    monkeypatch.setattr("rustun.cli.capture.read_status", lambda path: {"role": "server"})
    words = ["capture", "--control", "s", "-w", str(tmp_path / "f")]
    result = CliRunner().invoke(main, words, prog_name="rustun")
    assert result.exit_code == 2
    assert "only a client has a TUN device" in result.stderr
    assert not (tmp_path / "f").exists()
