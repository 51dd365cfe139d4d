"""A laboratory whose relay leaks on demand, and the cells that each fault has to turn red.

red    red-gw  10.0.1.1, 192.168.1.0/24 with red-nas     red-dev  10.0.1.2
blue   blue-gw 10.0.1.1, 192.168.1.0/24                  blue-dev 10.0.1.2      the same addresses as red
green  green-gw 10.0.3.1, 192.168.3.0/24 with green-nas  green-dev 10.0.3.2
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from netlab.configuration import configure, load
from netlab.isolation.expectation import BAD_SOURCE, BROADCAST, NO_ROUTE, NOWHERE, Cell, Expectation
from netlab.isolation.plan import Probe, cells
from netlab.lab import Files, Laboratory

FAULTY = Path(__file__).parent / "faulty"
CLUSTERS = (("red", "10.0.1", "192.168.1"), ("blue", "10.0.1", "192.168.1"), ("green", "10.0.3", "192.168.3"))
RETURNED = "red-dev"  # whose client comes again, with a stale session left


def inventory_text() -> str:
    """Return the fleet as TOML."""
    text = '[fleet]\nname = "faulty"\nservers = [{ address = "198.18.0.1:8080" }]\n'
    for name, network, lan in CLUSTERS:
        text += f"""
[cluster.{name}]
network = "{network}.0/24"
network6 = "fd00:{network[-1]}::/64"
[cluster.{name}.member.{name}-gw]
address = "{network}.1"
ciders = ["{lan}.0/24"]
[cluster.{name}.member.{name}-dev]
address = "{network}.2"
"""
        if name != "blue":
            text += f'[lab.host.{name}-nas]\nbehind = "{name}-gw"\naddress = "{lan}.7"\n'
    return text


@contextmanager
def faulty_lab(folder: Path) -> Iterator[tuple[Laboratory, Callable[[str], object]]]:
    """Yield a laboratory that is up, and what sets the fault of its relay ("" for none)."""
    inventory, fault = folder / "faulty.toml", folder / "fault"
    inventory.write_text(inventory_text())
    fault.write_text("")
    os.environ.update(PYTHONPATH=str(FAULTY), RUSTUN_FAULT=str(fault))  # of this test's own process
    configured = configure(inventory, load(inventory), folder / "generated")
    lab = Laboratory(configured.spec, Files(configured.folder, folder / "logs", Path("/run/faulty")))
    try:
        lab.start()
        yield lab, fault.write_text
    finally:
        assert lab.close() == []


def red_cells(expectation: Expectation, fault: str) -> set[Cell]:
    """Return the cells that a fault has to turn red, and no other; hosts' gateways let nothing of that kind through."""
    rule = RULES[fault]
    return {
        cell
        for cell, probes in cells(expectation).items()
        if any(rule(expectation, probe) for probe in probes)
        and (fault == "stale_session" or expectation.site_of[cell[0]].member == cell[0])
    }


def _grounds(expectation: Expectation, probe: Probe) -> frozenset[str]:
    return expectation.decide(expectation.site_of[probe.sender].member, probe.source, probe.destination).grounds


def _elsewhere(expectation: Expectation, probe: Probe) -> bool:
    """Tell whether a probe is refused for want of a route alone, and another cluster has its destination."""
    nowhere = any(probe.destination in prefix for prefix in NOWHERE)
    has_it = any(expectation.owners(name, probe.destination) for name, _, _ in CLUSTERS)
    return _grounds(expectation, probe) == {NO_ROUTE} and has_it and not nowhere


def _in_a_lan_elsewhere(expectation: Expectation, probe: Probe) -> bool:
    return _elsewhere(expectation, probe) and str(probe.destination).startswith("192.168.")


def _forged_only(expectation: Expectation, probe: Probe) -> bool:
    return _grounds(expectation, probe) == {BAD_SOURCE}


def _broadcast(_: Expectation, probe: Probe) -> bool:
    return probe.target == BROADCAST


def _with_the_returned(expectation: Expectation, probe: Probe) -> bool:
    """Tell whether a probe goes to the member that came again, or an answer of somebody else does.

    A host that is sent its own packet back by its gateway answers whoever stands in it.
    """
    sender = expectation.site_of[probe.sender]
    returned = expectation.site_of[RETURNED]
    to_itself = sender.node != sender.member and probe.destination in sender.own
    answers = (probe.answered and sender == returned) or (
        to_itself and sender.cluster == returned.cluster and probe.source in returned.addresses
    )
    return probe.owner == RETURNED or answers


RULES: dict[str, Callable[[Expectation, Probe], bool]] = {
    "isolation_off": _elsewhere,
    "source_check_off": _forged_only,
    "prefix_leak": _in_a_lan_elsewhere,
    "broadcast_leak": _broadcast,
    "stale_session": _with_the_returned,
}
