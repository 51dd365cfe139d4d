"""What namespace tests need beyond Python, and the order in which they run.

Rules of this module
  1. Programs of a distribution are installed where this process may; else one line says what is missing.
  2. Long tests come first (durations.txt), and each process takes one when it is free: of two that share them, none is
     left alone with a long one in the end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from netlab.packages import lacking
from tests.netlab import many_ids

FOLDER: Final = Path(__file__).parent
PROGRAMS = {
    "ip": "iproute2",
    "iperf3": "iperf3",
    "nft": "nftables",
    "openvpn": "openvpn",
    "ping": "iputils-ping",
    "systemd-analyze": "systemd",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
}


def pytest_configure(config: pytest.Config) -> None:
    """Install what is missing, once; say in one line what cannot be. Let tests be handed out one by one.

    Workers come by as well: where all tests are collected, they are the first to read this file.
    """
    ordinary = os.geteuid() != 0
    if packages := lacking({**PROGRAMS, **many_ids.PROGRAMS} if ordinary else PROGRAMS):
        raise pytest.UsageError(f"namespace tests need: apt-get install {' '.join(packages)}")
    if ordinary and not (many_ids.granted("uid") and many_ids.granted("gid")):
        raise pytest.UsageError(f"namespace tests need ids to map, from root: {many_ids.REMEDY}")
    config.option.maxschedchunk = 1


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let whatever fails here keep its logs, configuration and captures."""
    item.add_marker("kept")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests of this folder first, the longest one before all; the others keep their order."""
    lines = (line.split(maxsplit=1) for line in (FOLDER / "durations.txt").read_text().splitlines())
    seconds = {name: float(number) for number, name in lines}
    items.sort(key=lambda item: -seconds.get(item.nodeid.removeprefix("tests/netlab/"), 0.0))
