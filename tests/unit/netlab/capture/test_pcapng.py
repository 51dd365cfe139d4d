"""pcapng: what is written is what others, and this project itself, read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from scapy.layers import inet, l2
from scapy.utils import PcapNgReader, RawPcapNgReader

from netlab.capture import pcapng
from netlab.errors import BadInput

TAPS = [
    pcapng.Interface("bj-dev:rustun0", pcapng.LINKTYPE_RAW, "icmp or port 80"),
    pcapng.Interface("bj-dev:eth0", pcapng.LINKTYPE_ETHERNET, peer="server:m2"),
]
PING = bytes.fromhex("45000054000140004001f7a50a0001020a000101") + bytes([8, 0, 0xF7, 0xFF, 0, 0, 0, 0]) + bytes(56)
FRAME = bytes.fromhex("020000000001020000000002 0800") + PING
AT = 1_790_000_000_123_456_789


def content() -> bytes:
    """Return a file with a packet at each tap and what the second one lost."""
    return (
        pcapng.header(TAPS, "made by a test")
        + pcapng.packet(0, AT, PING, len(PING), pcapng.OUTBOUND)
        + pcapng.packet(1, AT + 1000, FRAME[:61], len(FRAME), pcapng.INBOUND)
        + pcapng.statistics(0, AT + 2000, 1, 0)
        + pcapng.statistics(1, AT + 2000, 3, 2)
    )


def test_others_read_what_is_written(tmp_path: Path) -> None:
    """A capture that only its own writer understands cannot be opened in anybody's analyser."""
    (tmp_path / "c.pcapng").write_bytes(content())
    with RawPcapNgReader(str(tmp_path / "c.pcapng")) as raw:
        found = list(raw)
    assert [data for data, _ in found] == [PING, FRAME[:61]]
    assert [(m.tshigh << 32 | m.tslow, m.tsresol) for _, m in found] == [(AT, 10**9), (AT + 1000, 10**9)]
    assert [(m.ifname, m.linktype, m.wirelen) for _, m in found] == [
        (b"bj-dev:rustun0", 101, 84),
        (b"bj-dev:eth0", 1, 98),
    ]
    assert [m.direction for _, m in found] == [pcapng.OUTBOUND, pcapng.INBOUND]
    with PcapNgReader(str(tmp_path / "c.pcapng")) as packets:
        dissected = list(packets)
    assert dissected[0].summary().startswith("IP / ICMP 10.0.1.2 > 10.0.1.1 echo-request")
    assert dissected[1][l2.Ether].src == "02:00:00:00:00:02"
    assert dissected[1][inet.IP].dst == "10.0.1.1"


def test_own_reading_gives_what_was_written(tmp_path: Path) -> None:
    """Diagrams are drawn from files: a time, a tap or a direction that changes on the way draws a wrong one."""
    (tmp_path / "c.pcapng").write_bytes(content())
    assert list(pcapng.read(tmp_path / "c.pcapng")) == [
        *TAPS,
        pcapng.Packet(AT, TAPS[0], True, PING, 84),
        pcapng.Packet(AT + 1000, TAPS[1], False, FRAME[:61], 98),
        pcapng.Statistics(TAPS[0], 1, 0),
        pcapng.Statistics(TAPS[1], 3, 2),
    ]


def test_a_file_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    """Whoever looks at a running capture gets all whole packets, wherever the end is at that moment."""
    whole = content()
    file = tmp_path / "c.pcapng"
    begin, seen = len(pcapng.header(TAPS, "made by a test")), set()
    for end in range(begin, len(whole) + 1):
        file.write_bytes(whole[:end])
        found = list(pcapng.read(file))
        assert found == list(pcapng.read(file))[: len(found)]
        seen.add(len(found))
    assert seen == {2, 3, 4, 5, 6}


def test_any_length_is_filled_up(tmp_path: Path) -> None:
    """A packet whose length is no multiple of four would shift all that follows."""
    for length in range(9):
        data = bytes(range(length))
        block = pcapng.packet(0, AT, data, length, pcapng.INBOUND)
        (tmp_path / "c.pcapng").write_bytes(pcapng.header(TAPS) + block + block)
        assert [one.data for one in pcapng.read(tmp_path / "c.pcapng") if isinstance(one, pcapng.Packet)] == [data] * 2


@pytest.mark.parametrize("written", [b"", b"\n\r\r\n", b"no capture at all", bytes(40)])
def test_what_is_no_capture_is_told(tmp_path: Path, written: bytes) -> None:
    """A wrong file name given to a task has to end in a sentence, not in a traceback."""
    (tmp_path / "c.pcapng").write_bytes(written)
    with pytest.raises(BadInput, match=r"no pcapng file"):
        list(pcapng.read(tmp_path / "c.pcapng"))


def test_damaged_files_have_one_way_out(tmp_path: Path) -> None:
    """Bytes that somebody else changed end in BadInput or in what is still readable, never in another error."""
    random_ = random.Random(7)
    whole = content()
    for _ in range(600):
        broken = bytearray(whole)
        for _ in range(random_.randint(1, 4)):
            broken[random_.randrange(28, len(broken))] = random_.randrange(256)
        (tmp_path / "c.pcapng").write_bytes(broken)
        try:
            assert len(list(pcapng.read(tmp_path / "c.pcapng"))) <= 8
        except BadInput as error:
            assert "damaged" in str(error)
