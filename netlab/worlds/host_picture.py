"""A full picture of a host's network, to be compared: before and after, as wished and as found.

Rules of this module
  1. Everything that a tunnel could touch is in it: links, addresses, routes of all tables, policy rules, the nftables
     ruleset, every setting below net.core, net.ipv4 and net.ipv6, resolv.conf and hosts.
  2. It is read with the tools of a distribution, a second opinion on our own messages.
  3. What changes by itself is left out: ages, counters, numbers of interfaces, and what the kernel does on its own to
     learn its addresses (`settle` waits for that).
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

SYSCTLS = Path("/proc/sys/net")
PATTERNS = ("core/*", "ipv[46]/*", "ipv[46]/*/*", "ipv[46]/*/*/*")
FILES = (Path("/etc/resolv.conf"), Path("/etc/hosts"))
AGES = re.compile(r" expires -?\d+sec| used \d+| valid_lft \S+| preferred_lft \S+")
NUMBER = re.compile(r"^\d+: ")
RTMGRP_LINK = 1
RTMGRP_IPV6_IFADDR = 0x100  # linux/rtnetlink.h
RTMGRP_IPV6_ROUTE = 0x400
PATIENCE_S = 10  # duplicate address detection takes one or two


def host_picture() -> list[str]:
    """Return all lines, in an order that does not depend on who came first."""
    lines = sorted(f"link {NUMBER.sub('', line)}" for line in _ip("-o", "link", "show"))
    lines += sorted(f"address {NUMBER.sub('', line)}" for line in _ip("-o", "address", "show"))
    for family in ("-4", "-6"):
        lines += sorted(f"route {family} {line}" for line in _ip(family, "-N", "route", "show", "table", "all"))
        lines += [f"rule {family} {line}" for line in _ip(family, "-d", "-N", "rule", "show")]
    if shutil.which("nft") and os.geteuid() == 0:  # elsewhere nothing of ours can be there
        lines += [f"nft {line}" for line in _lines("nft", "--stateless", "list", "ruleset")]
    lines += [f"sysctl {name} = {value}" for name, value in sysctls().items()]
    for file in FILES:
        lines += [f"{file} {line!r}" for line in file.read_bytes().splitlines(keepends=True)] if file.exists() else []
    return lines


def sysctls() -> dict[str, str]:
    """Return the kernel's settings of the network, by name; those that nobody may read are left out."""
    found = {}
    for file in sorted(file for pattern in PATTERNS for file in SYSCTLS.glob(pattern)):
        try:
            found[str(file.relative_to(SYSCTLS.parent))] = file.read_text().strip()
        except OSError:  # a folder; net.ipv6.conf.*.stable_secret, where there is none; net.ipv4.route.flush
            continue
    return found


def difference(before: list[str], after: list[str]) -> str:
    """Return what went (-) and what came (+), a line each; empty when the pictures are the same."""
    compared = difflib.unified_diff(before, after, "before", "after", lineterm="", n=0)
    return "\n".join(line for line in compared if not line.startswith(("---", "+++", "@@")))


def assert_same(before: list[str], after: list[str], when: str = "") -> None:
    """Fail with the difference of two pictures; `when` says what was done in between."""
    changed = difference(before, after)
    assert not changed, f"{when or 'the host'} differs:\n{changed}"


def settle() -> None:
    """Wait until no link is about to come up and each address is used, so that the kernel adds nothing by itself."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, RTMGRP_LINK | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE))
        events.settimeout(PATIENCE_S)
        while _is_moving():
            events.recv(1 << 16)


def _is_moving() -> bool:
    if any(",LOWER_UP" in line and "LOWERLAYERDOWN" in line for line in _ip("-o", "link", "show")):
        return True
    addresses = [line.split() for line in _ip("-6", "-o", "address", "show")]
    if any("tentative" in words for words in addresses):
        return True
    # an address that needs no detection is there at once, and its route when the kernel's work queue comes to it
    local = {tuple(line.split()[1:4:2]) for line in _ip("-6", "route", "show", "table", "local", "type", "local")}
    return any((words[3].partition("/")[0], words[1]) not in local for words in addresses)


def _ip(*arguments: str) -> list[str]:
    return [AGES.sub("", line).strip() for line in _lines("ip", *arguments)]


def _lines(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.splitlines()
