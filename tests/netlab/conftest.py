"""What namespace tests need beyond Python: programs of a distribution, installed where this process may."""

from __future__ import annotations

import os

import pytest

from netlab.packages import lacking
from tests.netlab import many_ids

PROGRAMS = {
    "ip": "iproute2",
    "iperf3": "iperf3",
    "nft": "nftables",
    "openvpn": "openvpn",
    "systemd-analyze": "systemd",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
}


def pytest_configure() -> None:
    """Install what is missing, once; say in one line what cannot be.

    Workers come by as well: where all tests are collected, they are the first to read this file.
    """
    ordinary = os.geteuid() != 0
    if packages := lacking({**PROGRAMS, **many_ids.PROGRAMS} if ordinary else PROGRAMS):
        raise pytest.UsageError(f"namespace tests need: apt-get install {' '.join(packages)}")
    if ordinary and not (many_ids.granted("uid") and many_ids.granted("gid")):
        raise pytest.UsageError(f"namespace tests need ids to map, from root: {many_ids.REMEDY}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let whatever fails here keep its logs, configuration and captures."""
    item.add_marker("kept")
