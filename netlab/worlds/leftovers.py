"""What a laboratory leaves behind: a host that is not as before, a process, a descriptor, a namespace.

Rules of this module
  1. A namespace is seen to be gone by a cable from here: the kernel takes it away with the namespace, and the namespace
     stays as long as any process or descriptor holds it.
  2. This process is number 1 of a pid namespace (namespaces.py), so every process that is left is one of ours.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from netlab.namespaces import NetworkNamespace
from netlab.worlds.host_picture import assert_same, host_picture, settle
from netlab.worlds.keyed_lab import KeyedLab

PATIENCE_S = 20.0  # the kernel takes a namespace away when it finds the time
RTMGRP_LINK = 1  # linux/rtnetlink.h
MARK = "trace"


@contextmanager
def nothing_left() -> Iterator[None]:
    """Compare processes and descriptors before and after, and wait until namespaces that were traced are gone."""
    before = processes(), descriptors()
    yield
    assert (processes(), descriptors()) == before
    _until_no_trace()


@contextmanager
def hosts_as_before(site: KeyedLab, names: Sequence[str]) -> Iterator[None]:
    """Trace these machines; at the end stop what runs there, and compare each with what it was."""
    spaces = [site.lab.namespaces[name] for name in names]
    for number, space in enumerate(spaces):
        _trace(space, number)
    for space in spaces:
        space.run(settle)
    before = [space.run(host_picture) for space in spaces]
    yield
    for name in names:
        assert site.end(name, signal.SIGTERM) == 0, f"{name}: {site.log(name)}"
    for name, space, picture in zip(names, spaces, before, strict=True):
        space.run(settle)
        assert_same(picture, space.run(host_picture), name)


def _trace(space: NetworkNamespace, number: int) -> None:
    there = space.fileno()
    command = f"ip link add {MARK}{number} type veth peer name {MARK} netns /proc/self/fd/{there}"
    subprocess.run(command.split(), check=True, pass_fds=[there], timeout=PATIENCE_S)


def _until_no_trace() -> None:
    deadline = monotonic() + PATIENCE_S
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, RTMGRP_LINK))
        while left := [name for _, name in socket.if_nameindex() if name.startswith(MARK)]:
            ready, _, _ = select.select([events], [], [], max(0.0, deadline - monotonic()))
            assert ready, f"namespaces are still held: {left}"
            events.recv(1 << 16)


def processes() -> list[int]:
    """Return the process ids of this world, with those of the worlds inside."""
    return sorted(int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal())


def descriptors() -> list[str]:
    """Return what this process has open; the folder that is being read is not counted."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue
    return sorted(found)
