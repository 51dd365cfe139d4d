"""What tc and nft are told; netem's words stand here in full, because not every kernel that runs these tests has it."""

from __future__ import annotations

import pytest

from netlab.links.impairment import PLAIN, Flap, Impairment
from netlab.links.shaping import Way, rules, shape, size, ways


@pytest.mark.parametrize(
    ("impairment", "expected"),
    [
        (PLAIN, ("plain",)),
        (Impairment(mtu=1400, black_hole_icmp=True), ("plain",)),
        (Impairment(rate_bit_s=10_000_000), ("tbf", "wire")),
        (Impairment(rate_bit_s=10_000_000, mtu=1400), ("tbf", "wire")),
        (Impairment(rate_bit_s=1_000_000), ("netem", "wire")),
        (Impairment(rate_bit_s=10_000_000, queue_packets=20), ("netem", "wire")),
        (Impairment(delay_s=0.05, loss=0.01), ("netem", "wire")),
        (Impairment(delay_s=0.05, loss=0.01, seed=1), ("wire",)),
        (Impairment(delay_s=0.05, jitter_s=0.01), ("wire",)),
        (Impairment(flap=Flap(1.0, 1.0)), ("wire",)),
    ],
)
def test_each_impairment_has_the_ways_that_can_do_it(impairment: Impairment, expected: tuple[Way, ...]) -> None:
    """A way would be chosen that cannot do what is asked: netem's jitter reorders, tbf knows no delay."""
    assert ways(impairment) == expected


@pytest.mark.parametrize(
    ("impairment", "way", "expected"),
    [
        (
            Impairment(delay_s=0.05, loss=0.01, duplicate=0.005, reorder=0.25),
            "netem",
            [
                "tc qdisc replace dev eth0 root handle 1: netem limit 1000000"
                " delay 50000us loss 1% duplicate 0.5% reorder 25%",
                "tc qdisc replace dev eth0 parent 1:1 handle 20: pfifo limit 1000000",
            ],
        ),
        (
            Impairment(loss=0.02, burst=4.0),
            "netem",
            [
                "tc qdisc replace dev eth0 root handle 1: netem limit 1000000 loss gemodel 0.5102041% 25% 100% 0%",
                "tc qdisc replace dev eth0 parent 1:1 handle 20: pfifo limit 1000000",
            ],
        ),
        (
            Impairment(delay_s=0.0002, rate_bit_s=20_000_000, queue_packets=50),
            "netem",
            [
                "tc qdisc replace dev eth0 root handle 1: netem limit 1000000 delay 200us",
                "tc qdisc replace dev eth0 parent 1:1 handle 10: tbf rate 20000000bit burst 3028 limit 75700",
                "tc qdisc replace dev eth0 parent 10:1 handle 20: pfifo limit 50",
            ],
        ),
        (
            Impairment(rate_bit_s=100_000_000),
            "tbf",
            ["tc qdisc replace dev eth0 root handle 10: tbf rate 100000000bit burst 6250 limit 1514000"],
        ),
        (PLAIN, "plain", ["tc qdisc replace dev eth0 root handle 1: noqueue"]),
    ],
)
def test_tc_is_told_everything_each_time(impairment: Impairment, way: Way, expected: list[str]) -> None:
    """A setting that is not named again would stay as it was, or be taken back."""
    assert [" ".join(command.words) for command in shape("eth0", impairment, way)] == expected


def test_rules_replace_those_before_in_one_transaction() -> None:
    """Between two commands packets would pass unimpaired; and what the wire sends would be diverted again."""
    command = rules("eth0", Impairment(black_hole_icmp=True), "wire10")
    assert command.words == ("nft", "-f", "-")
    assert command.stdin == (
        "table netdev link_eth0\n"
        "delete table netdev link_eth0\n"
        "table netdev link_eth0 {\n"
        " chain egress {\n"
        '  type filter hook egress device "eth0" priority 0\n'
        "  icmp type { destination-unreachable, time-exceeded, parameter-problem } drop\n"
        "  icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } drop\n"
        "  meta mark 0x7275776c accept\n"
        '  fwd to "wire10"\n'
        " }\n"
        "}\n"
    )


def test_a_plain_direction_has_no_rules() -> None:
    """A cleared link would keep an empty hook, which costs every packet."""
    assert rules("eth0", PLAIN, "").stdin == "table netdev link_eth0\ndelete table netdev link_eth0\n"
    assert size("eth0", 1400).words == ("ip", "link", "set", "dev", "eth0", "mtu", "1400")
