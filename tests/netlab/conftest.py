"""What namespace tests need beyond Python: programs of a distribution, installed where this process may."""

from __future__ import annotations

import pytest

from netlab.packages import lacking

PROGRAMS = {
    "ip": "iproute2",
    "iperf3": "iperf3",
    "nft": "nftables",
    "openvpn": "openvpn",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "systemd-analyze": "systemd",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
}


def pytest_configure() -> None:
    """Install what is missing, once; say in one line what cannot be.

    Workers come by as well: where all tests are collected, they are the first to read this file.
    """
    if packages := lacking(PROGRAMS):
        raise pytest.UsageError(f"namespace tests need: apt-get install {' '.join(packages)}")
