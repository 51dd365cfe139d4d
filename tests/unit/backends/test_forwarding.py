"""Settings of a gateway: which ones, in which order, and back again; on files of the test's own."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from rustun.backends.base import Forwarding, HostState
from rustun.backends.forwarding import Change, Opened, needed, opened, read_settings, undone, without, write_setting
from rustun.backends.surroundings import Surroundings
from rustun.errors import HostError, RightsError

LAN4, LAN6 = ip_network("192.168.1.0/24"), ip_network("fd77::/64")
AROUND = Surroundings({LAN4: ("eth1",), LAN6: ("eth1",)}, {4: ("eth0",), 6: ("eth0",)})
V4, V6 = "net/ipv4/conf", "net/ipv6/conf"


def wish(exit_too: bool = False) -> HostState:
    return HostState("rustun0", 1500, forwarding=Forwarding((LAN4, LAN6), offer_exit=exit_too))


class Kernel:
    """A tree like /proc/sys/net whose whole-host switches do what the kernel's do (addrconf_fixup_forwarding)."""

    def __init__(self, root: Path, force: bool) -> None:
        self.root = root
        for interface in ("all", "default", "lo", "eth0", "eth1", "rustun0"):
            self.set(f"{V4}/{interface}/forwarding", "0")
            self.set(f"{V6}/{interface}/forwarding", "0")
            self.set(f"{V6}/{interface}/accept_ra", "0" if interface == "rustun0" else "1")
            if force:
                self.set(f"{V6}/{interface}/force_forwarding", "0")

    def set(self, name: str, value: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(f"{value}\n")
        if name.endswith("all/forwarding"):
            for other in (self.root / name).parents[1].glob("*/forwarding"):
                other.write_text(f"{value}\n")

    def read(self) -> dict[str, str]:
        return read_settings(self.root)

    def make(self, changes: tuple[Change, ...]) -> list[str]:
        """Make changes as a host does; return them as people read them."""
        for change in changes:
            before = self.read().get(change.name)
            write_setting(change, self.root)
            if change.ours != before:
                self.set(change.name, change.ours)
        return [f"{change.name.removeprefix('net/')} {change.before}>{change.ours}" for change in changes]


@pytest.mark.parametrize("exit_too", [False, True])
def test_single_interfaces_where_the_kernel_can(tmp_path: Path, exit_too: bool) -> None:
    """If this fails, a gateway does not forward, or becomes a router altogether."""
    kernel = Kernel(tmp_path, force=True)
    before = kernel.read()
    changes = needed(wish(exit_too), AROUND, before)
    names = ("rustun0", "eth0", "eth1") if exit_too else ("rustun0", "eth1")
    assert kernel.make(changes) == [
        "ipv4/conf/all/forwarding 0>0",
        *(f"ipv4/conf/{name}/forwarding 0>1" for name in names),
        *(f"ipv6/conf/{name}/force_forwarding 0>1" for name in names),
    ]
    assert needed(wish(exit_too), AROUND, kernel.read()) == ()
    others = frozenset(names[1:])
    assert opened(changes, "rustun0") == Opened(others, others)
    back, left = undone(changes, kernel.read())
    kernel.make(back)
    assert (kernel.read(), left) == (before, ())


def test_older_kernels_become_a_router_that_still_listens_to_others(tmp_path: Path) -> None:
    """If this fails, a gateway that lives on router advertisements loses its default route."""
    kernel = Kernel(tmp_path, force=False)
    kernel.set(f"{V6}/eth1/forwarding", "1")  # this one took none, and is not asked to
    before = kernel.read()
    changes = needed(wish(), AROUND, before)
    assert kernel.make(changes) == [
        "ipv4/conf/all/forwarding 0>0",
        "ipv4/conf/rustun0/forwarding 0>1",
        "ipv4/conf/eth1/forwarding 0>1",
        "ipv6/conf/default/accept_ra 1>2",
        "ipv6/conf/eth0/accept_ra 1>2",
        "ipv6/conf/eth1/forwarding 1>1",
        "ipv6/conf/all/forwarding 0>1",
    ]
    assert opened(changes, "rustun0") == Opened(frozenset({"eth1"}), frozenset({"all"}))
    assert needed(wish(), AROUND, kernel.read()) == ()
    assert needed(wish(), AROUND, without(changes, kernel.read())) == changes  # whoever looks again, notes the same
    back, left = undone(changes, kernel.read())
    kernel.make(back)
    assert (kernel.read(), left) == (before, ())


def test_a_router_needs_nothing(tmp_path: Path) -> None:
    """If this fails, the end of a client ends the forwarding of a host that forwarded before."""
    kernel = Kernel(tmp_path, force=True)
    kernel.set(f"{V4}/all/forwarding", "1")
    kernel.set(f"{V6}/all/forwarding", "1")
    assert needed(wish(), AROUND, kernel.read()) == ()
    nothing = HostState("rustun0", 1500)
    assert needed(nothing, Surroundings(), Kernel(tmp_path / "other", force=True).read()) == ()


def test_one_interface_taken_out_of_a_router(tmp_path: Path) -> None:
    """If this fails, an interface that its administrator had closed stays open after the client."""
    kernel = Kernel(tmp_path, force=True)
    kernel.set(f"{V4}/all/forwarding", "1")
    kernel.set(f"{V4}/eth1/forwarding", "0")
    before = kernel.read()
    changes = needed(wish(), AROUND, before)
    kernel.make(changes)
    back, left = undone(changes, kernel.read())
    kernel.make(back)
    assert (kernel.read(), left) == (before, ())


def test_settings_that_others_made_meanwhile_stay(tmp_path: Path) -> None:
    """If this fails, the end of a client cuts off the containers whose engine came after it."""
    kernel = Kernel(tmp_path, force=True)
    changes = needed(wish(exit_too=True), AROUND, kernel.read())
    kernel.make(changes)
    kernel.set(f"{V4}/all/forwarding", "1")
    kernel.set(f"{V6}/eth0/force_forwarding", "2")
    kernel.set(f"{V6}/eth1/force_forwarding", "0")
    again = needed(wish(exit_too=True), AROUND, without(changes, kernel.read()))
    assert opened(again, "rustun0").ipv4 == frozenset()  # the containers' packets are not ours to drop
    back, left = undone(changes, kernel.read())
    assert [change.name for change in back] == [f"{V6}/rustun0/force_forwarding"]
    assert f"{V6}/eth0/force_forwarding is left at 2: 1 when we set it; it was 0 before" in left
    assert any(line.startswith(f"{V4}/eth1/forwarding is left at 1: this host was made a router") for line in left)
    assert not any("ipv6/conf/eth1" in line for line in left)  # as it was before


def test_interfaces_that_come_and_go(tmp_path: Path) -> None:
    """If this fails, a dry run misses the device's settings, or a clean-up stumbles over an interface that is gone."""
    kernel = Kernel(tmp_path, force=True)
    present = {name: value for name, value in kernel.read().items() if "/rustun0/" not in name}
    changes = needed(wish(), AROUND, present)
    assert Change(f"{V4}/rustun0/forwarding", "", "1") in changes
    gone = {name: value for name, value in present.items() if "/eth1/" not in name}
    assert undone(changes, gone) == ((), ())
    write_setting(Change(f"{V4}/eth9/forwarding", "0", "1"), tmp_path)
    less = {name: value for name, value in present.items() if "/eth1/" not in name and "ipv6" not in name}
    names = [change.name for change in needed(wish(), AROUND, less)]
    assert names == [f"{V4}/all/forwarding", f"{V4}/rustun0/forwarding"]


def test_refusals_have_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a container with a read-only /proc/sys ends a gateway with a traceback."""
    change = Change(f"{V4}/eth1/forwarding", "0", "1")
    (tmp_path / change.name).mkdir(parents=True)
    with pytest.raises(HostError, match="cannot set net/ipv4/conf/eth1/forwarding to 1"):
        write_setting(change, tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(RightsError) as caught:
        write_setting(change, tmp_path)
    assert "sysctl -w net/ipv4/conf/eth1/forwarding=1" in caught.value.remedy
