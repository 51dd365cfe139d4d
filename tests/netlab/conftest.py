"""What namespace tests need beyond Python: programs of a distribution, installed where this process may."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

PACKAGES = {"ip": "iproute2", "nft": "nftables", "systemd-analyze": "systemd"}
ADMIN_FOLDERS = ":/usr/local/sbin:/usr/sbin:/sbin"  # not in every user's PATH


def missing() -> list[str]:
    """Return the packages whose program is not there."""
    path = os.environ.get("PATH", "") + ADMIN_FOLDERS
    return [package for program, package in PACKAGES.items() if shutil.which(program, path=path) is None]


def pytest_configure(config: pytest.Config) -> None:
    """Install what is missing, once, before workers start; say in one line what cannot be."""
    if hasattr(config, "workerinput"):
        return
    if "PATH" in os.environ and not os.environ["PATH"].endswith(ADMIN_FOLDERS):
        os.environ["PATH"] += ADMIN_FOLDERS
    packages = missing()
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages]
        subprocess.run(install, check=False, **quiet)  # type: ignore[call-overload]
    if packages := missing():
        raise pytest.UsageError(f"namespace tests need: apt-get install {' '.join(packages)}")
