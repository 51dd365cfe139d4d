"""A client that dies at any step leaves nothing behind that the next start, or a clean-up, does not take off.

Rules of this module
  1. A child does what a client does and ends at once (as by SIGKILL) after its n-th change of the host or of the
     journal, for every n until it gets through; here every third, in `./invoke soak` each.
  2. The host is compared whole (host_picture.py), with a host that had no client, or one whose client did not die.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRSocket
from pyroute2.netlink import NLM_F_DUMP

from netlab.worlds.host_picture import assert_same, host_picture, settle
from rustun.backends import host_executor, hosts_file, nft, route_changes
from rustun.backends.base import Endpoint, Forwarding, HostState
from rustun.backends.host_journal import HostJournal
from rustun.backends.host_network import LinuxHostNetwork
from rustun.backends.host_recovery import cleanup_all, recover
from tests.netlab.bare_host import Host
from tests.netlab.private_namespace import STATE, in_private_namespace

DIED = 9
STRIDE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 3
PICTURE = Path("/run/picture.json")  # from a child to the test

WISH = HostState(
    "rustun0",
    1500,
    (ip_interface("10.0.1.2/24"), ip_interface("fd00:1::2/64")),
    tuple(ip_network(text) for text in ("10.0.2.0/24", "203.0.113.0/24", "fd00:2::/64")),
    (Endpoint("203.0.113.7", 8080), Endpoint("2001:db8:2::7", 8080)),
    exits=(ip_network("0.0.0.0/0"), ip_network("::/0")),
    forwarding=Forwarding(
        lans=(ip_network("192.168.1.0/24"), ip_network("2001:db8:1::/64")),
        masquerade=True,
        mapping=((ip_network("10.9.0.0/24"), ip_network("172.16.5.0/24")),),
    ),
    names=(("bj-dev", (ip_address("10.0.1.7"),)),),
)

CHANGED = replace(
    WISH,
    mtu=1400,
    addresses=(ip_interface("10.0.1.3/24"), ip_interface("fd00:1::3/64")),
    routes=tuple(ip_network(text) for text in ("10.0.3.0/24", "198.51.100.0/24", "fd00:3::/64")),
    outside=(Endpoint("198.51.100.7", 8080), WISH.outside[1]),
    exits=WISH.exits[1:],
    forwarding=Forwarding(lans=(ip_network("172.16.5.0/24"),)),
    names=(("bj-dev", (ip_address("10.0.1.8"),)),),
)


class Death:
    """Ends this process after its n-th change of the outside world; counts them until then."""

    def __init__(self, after: int) -> None:
        self._left = after

    def watch(self, owner: Any, name: str, counts: Callable[..., bool] = lambda *_args, **_options: True) -> None:
        """Count calls of a function that changes something."""
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            result = real(*arguments, **options)
            if counts(*arguments, **options):
                self._left -= 1
                if self._left == 0:
                    os._exit(DIED)
            return result

        setattr(owner, name, call)

    def watch_all(self) -> None:
        """Watch every way to change the host or the journal; a hosts file also half written."""
        self.watch(IPRSocket, "put", lambda _self, _message, _kind, flags=0, **_more: flags & NLM_F_DUMP != NLM_F_DUMP)
        self.watch(route_changes, "_send")
        self.watch(nft, "_nft", lambda *_words, script="": bool(script))
        self.watch(host_executor, "write_setting")
        self.watch(HostJournal, "_replace")
        self.watch(Path, "unlink")
        self.watch(hosts_file, "write_in_place")
        write = hosts_file.write_in_place

        def torn(text: str, path: Path = hosts_file.HOSTS) -> None:
            self._left -= 1
            if self._left == 0:
                with path.open("r+b") as file:
                    file.write(text.encode()[: len(text) // 2])
                os._exit(DIED)
            write(text, path)

        hosts_file.write_in_place = torn


def in_child(work: Callable[[], None], dies_after: int = 0, prepare: Callable[[], None] | None = None) -> bool:
    """Do the work in a process of its own; return whether it got through, False where it died on the way.

    Args:
        dies_after: changes of the work.
        prepare: done there first, without dying.
    """
    child = os.fork()
    if child == 0:
        try:
            if prepare is not None:
                prepare()
            if dies_after:
                Death(dies_after).watch_all()
            work()
        except BaseException:  # noqa: BLE001 - nobody is above this frame
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, DIED), f"exit code {code}"
    return code == 0


def start(wish: HostState = WISH) -> None:
    started(wish)


def started(wish: HostState = WISH) -> LinuxHostNetwork:
    network = LinuxHostNetwork(STATE)
    network.open_tun("rustun0", 1500, True)
    report = network.apply(wish)
    assert (report.refused, report.warnings) == ({}, ()), report
    return network


def start_and_tell() -> None:
    start()
    settle()
    PICTURE.write_text(json.dumps(host_picture()))


def start_and_stop() -> None:
    started().clear()


def clean_up() -> None:
    recover(STATE, "rustun0")


def told() -> list[str]:
    """Return the picture that a child took while its client lived."""
    found: list[str] = json.loads(PICTURE.read_text())
    return found


def died_at_every_step(
    work: Callable[[], None], then: Callable[[int], None], first: int = 1, prepare: Callable[[], None] | None = None
) -> int:
    """Let the work die after one change, after more, and so on, each time followed by `then`; return how many it makes.

    Args:
        first: the change that it dies after first.
        prepare: as for `in_child`.
    """
    for step in range(first, 1000, STRIDE):
        if in_child(work, step, prepare):
            return step
        then(step)
    raise AssertionError("a thousand steps")


@in_private_namespace
def test_a_clean_up_restores_the_host_wherever_a_client_died() -> None:
    """Row 30. If this fails, a client that is killed leaves routes, rules, settings or names behind for ever."""
    with Host():
        settle()
        before = host_picture()

        def take_off(step: int) -> None:
            clean_up()
            assert_same(before, host_picture(), f"the host after step {step}")
            assert not list(STATE.glob("*.json"))

        steps = died_at_every_step(start_and_stop, take_off)
        assert steps > 40, steps
        assert_same(before, host_picture(), "the host after an orderly end")


@in_private_namespace
def test_a_clean_up_restores_the_host_wherever_a_client_died_amid_a_change() -> None:
    """Row 30. If this fails, news from the server and a crash at once leave behind what no journal knows."""
    with Host():
        settle()
        before = host_picture()
        living: list[LinuxHostNetwork] = []

        def change() -> None:
            report = living[0].apply(CHANGED)
            assert (report.refused, list(report.addresses)) == ({}, list(CHANGED.addresses)), report

        def take_off(step: int) -> None:
            clean_up()
            assert_same(before, host_picture(), f"the host after step {step} of a change")
            assert not list(STATE.glob("*.json"))

        steps = died_at_every_step(change, take_off, prepare=lambda: living.append(started()))
        assert steps > 20, steps


@in_private_namespace
def test_the_next_start_makes_the_host_as_wished_wherever_a_client_died() -> None:
    """Row 30. If this fails, a client that was killed has to be cleaned up after by hand before it works again."""
    with Host():
        settle()
        before = host_picture()
        in_child(start_and_tell)
        as_wished = told()
        recover(STATE, "rustun0")

        def start_again(step: int) -> None:
            in_child(start_and_tell)
            assert_same(as_wished, told(), f"the next start after step {step}")

        died_at_every_step(start_and_stop, start_again, first=2)
        cleanup_all(STATE)
        assert_same(before, host_picture(), "the host in the end")


@in_private_namespace
def test_a_clean_up_that_dies_is_finished_by_the_next() -> None:
    """If this fails, a power cut during `rustun cleanup` leaves what nobody takes off any more."""
    with Host():
        settle()
        before = host_picture()

        def finish(step: int) -> None:
            recover(STATE, "rustun0")
            assert_same(before, host_picture(), f"the host after step {step} of a clean-up")
            in_child(start)

        in_child(start)
        died_at_every_step(clean_up, finish, first=3)


@in_private_namespace
def test_a_kill_switch_outlives_its_client_where_that_is_asked_for() -> None:
    """If this fails, a host with a kill switch talks in clear once its client has crashed."""
    with Host():
        settle()
        before = host_picture()
        in_child(lambda: start(replace(WISH, kill_switch=True, forwarding=Forwarding())))
        kept = recover(STATE, "rustun0", keep_kill_switch=True)
        assert any("kill switch of rustun0 stands" in line for line in kept.left)
        assert "kill_switch" in (nft.listed("rustun-rustun0") or "")
        assert [one.device for one in cleanup_all(STATE)] == ["rustun0"]
        assert_same(before, host_picture())
        assert cleanup_all(STATE) == []
