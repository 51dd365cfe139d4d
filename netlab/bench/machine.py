"""What the bench ran on and with: all that a reader needs to judge whether figures of two runs may be compared."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import cryptography

from netlab.bench.load import congestion_control
from rustun import __version__

PATIENCE_SECONDS: Final = 5.0
VERSIONS: Final = {  # how each program is asked
    "openvpn": ("openvpn", "--version"),
    "wireguard-go": ("wireguard-go", "--version"),
    "ssh": ("ssh", "-V"),
    "iperf3": ("iperf3", "--version"),
}
SAME_MACHINE: Final = ("cpu", "memory GB", "kernel", "python")  # runs that differ in these compare ratios, not speeds


def describe() -> dict[str, str]:
    """Return words on processor, memory, kernel, versions and load, in an order for people."""
    with socket.socket() as stream:
        congestion = congestion_control(stream)
    return {
        "cpu": f"{os.cpu_count()} x {_model()}",
        "memory GB": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f}",
        "kernel": platform.release(),
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load average": f"{os.getloadavg()[0]:.2f}",
        "congestion": congestion,
        "python": platform.python_version(),
        "rustun": __version__,
        "cryptography": cryptography.__version__,
        "ssl": ssl.OPENSSL_VERSION,
        **{name: version for name, command in VERSIONS.items() if (version := _version(command))},
    }


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return in what two descriptions differ that makes speeds incomparable."""
    return [
        f"{name}: {one.get(name, '?')} and {other.get(name, '?')}"
        for name in SAME_MACHINE
        if one.get(name) != other.get(name)
    ]


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _first_line(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return "unknown"


def _version(command: tuple[str, ...]) -> str:
    """Return the first line that a program says of its version; nothing where it is missing."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return said[0] if said else "unknown"
