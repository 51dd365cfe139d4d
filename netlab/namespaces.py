"""Namespaces of our own, held by descriptor and by nothing else.

Rules of this module
  1. Nothing is made in the host's own namespaces: the process first moves into new ones (network, mount, pid, and for
     an ordinary user a user namespace in which it is root), and all nodes are made from there.
  2. A network namespace is an open descriptor. No name under /run/netns, so nothing has to be removed: when the
     process ends, however it ends, the kernel removes namespaces, links, addresses and routes.
  3. The process that holds them is number 1 of a pid namespace, so whatever it started ends with it, grandchildren too.
  4. setns moves one thread. What has to happen inside a node, starting a program included, happens on a short-lived
     thread of its own; the main thread never leaves the laboratory's own namespace.
"""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from netlab import kernel
from netlab.errors import EnvironmentLacks

T = TypeVar("T")

TUN_DEVICE: Final = Path("/dev/net/tun")


def enter_own_world(run: Callable[[], int]) -> int:
    """Run `run` as process 1 of new namespaces and return its exit code.

    Must be called while this process has one thread. SIGTERM and SIGHUP are passed on, unless they are ignored; SIGINT
    reaches the child from the terminal by itself. If this process is killed, the child dies with it, and everything in
    the namespaces too.

    Raises:
        EnvironmentLacks: this kernel or this user may not make namespaces.
    """
    need_tun_device()
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
        else:
            kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        who = "root may make no namespaces here" if user == 0 else "this user may make no user namespaces here"
        raise EnvironmentLacks(f"{who} ({error.strerror})", _namespace_remedy(user)) from error
    parent_lives, held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held)
        _be_process_one(run, parent_lives)
    os.close(parent_lives)
    return _wait_for(child)


def need_tun_device() -> None:
    """Raise EnvironmentLacks unless this user may open /dev/net/tun."""
    if not TUN_DEVICE.exists():
        raise EnvironmentLacks(f"{TUN_DEVICE} is missing", f"modprobe tun; in a container: --device {TUN_DEVICE}")
    if not os.access(TUN_DEVICE, os.R_OK | os.W_OK):
        raise EnvironmentLacks(
            f"{TUN_DEVICE} is not open to this user", f"run it as root, or once: sudo chmod 0666 {TUN_DEVICE}"
        )


def _namespace_remedy(user: int) -> str:
    if user == 0:
        return "it lacks CAP_SYS_ADMIN: in a container, start that with --cap-add SYS_ADMIN --cap-add NET_ADMIN"
    if Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists():
        return "run it as root, or: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    return "run it as root, or: sudo sysctl user.max_user_namespaces=10000 (Debian: kernel.unprivileged_userns_clone=1)"


def _be_process_one(run: Callable[[], int], parent_lives: int) -> None:
    """Finish the child's own world and end with the exit code of `run`; never returns."""
    code = EnvironmentLacks.exit_code
    try:
        _die_with_parent(parent_lives)
        for number in _heard():
            signal.signal(number, _interrupt)
        _own_mounts()
        code = run()
    except BaseException:  # noqa: BLE001  nobody is above this frame in a forked child: say it here
        traceback.print_exc()
    finally:
        os._exit(code)


def _die_with_parent(parent_lives: int) -> None:
    """Arrange to be killed when the parent dies, which holds the other end of this pipe until then."""
    kernel.die_with_parent(signal.SIGKILL)
    if select.select((parent_lives,), (), (), 0)[0]:  # the pipe has ended: the parent died before this was arranged
        os._exit(EnvironmentLacks.exit_code)
    os.close(parent_lives)


def _own_mounts() -> None:
    try:
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
    except OSError as error:
        os.write(2, f"lab: {error}\n  this container hides what a laboratory needs; run it on the host\n".encode())
        os._exit(EnvironmentLacks.exit_code)


def _heard() -> list[signal.Signals]:
    """Return the signals that end a laboratory beside ctrl-C; who runs under nohup is not to hear of a hangup."""
    both = (signal.SIGTERM, signal.SIGHUP)
    return [number for number in both if signal.getsignal(number) is not signal.SIG_IGN]


def _interrupt(signal_number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(signal_number).name)


def _wait_for(child: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in _heard():
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if not os.WIFSIGNALED(status) else 128 + os.WTERMSIG(status)


def replace_hosts_file(names: Mapping[str, str]) -> None:
    """Let names resolve inside this mount namespace by a hosts file of our own; the host's file is not touched.

    Args:
        names: host name -> numeric address.
    """
    own = Path("/run/hosts")
    lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{address} {name}" for name, address in names.items())]
    own.write_text("\n".join(lines) + "\n")
    kernel.mount(str(own), "/etc/hosts", "", kernel.MS_BIND)


class NetworkNamespace:
    """One network namespace, alive as long as this object, or something inside it, lives.

    Args:
        descriptor: of a namespace that exists, which this object takes over; without it a new one is made.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _on_own_thread(_new_network_namespace) if descriptor is None else descriptor

    def fileno(self) -> int:
        """Return the descriptor that holds the namespace, or -1 once closed."""
        return self._descriptor

    def run(self, work: Callable[[], T]) -> T:
        """Run `work` inside, on a thread of its own, and return its result; sockets and programs made there stay."""

        def inside() -> T:
            kernel.setns(self._descriptor, kernel.CLONE_NEWNET)
            return work()

        return _on_own_thread(inside)

    def close(self) -> None:
        """Let go of the namespace; a second call is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def new_namespaces(names: Iterable[str]) -> dict[str, NetworkNamespace]:
    """Return an empty namespace for each name."""

    def make() -> dict[str, NetworkNamespace]:
        return {name: NetworkNamespace(_new_network_namespace()) for name in names}

    return _on_own_thread(make)


def visit(works: Iterable[tuple[NetworkNamespace, Callable[[], object]]]) -> None:
    """Do each work inside its namespace, one after the other, on one thread."""

    def walk() -> None:
        for namespace, work in works:
            kernel.setns(namespace.fileno(), kernel.CLONE_NEWNET)
            work()

    _on_own_thread(walk)


def _new_network_namespace() -> int:
    kernel.unshare(kernel.CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _on_own_thread(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(work).result()
