"""A host that is looked at and never touched: for a client that only tells what it would do.

Rules of this module
  1. No device is made, no address or route set, no file written; so no right is needed either.
  2. Packets that come from the tunnel end here, and none goes into it.
"""

from __future__ import annotations

import os

from rustun.backends.base import Buffer, HostNetwork, HostPlan, HostReport, HostState


class NoDevice:
    """Stands for a TUN device that is not made; nothing ever comes from it.

    Args:
        name: what the device would be called.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.offloads: frozenset[str] = frozenset()
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)  # something to watch that is never readable

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""
        return self._descriptor

    def is_up(self) -> bool:
        """Return that nobody set it down."""
        return True

    def read_into(self, header: memoryview, packet: memoryview) -> int | None:
        """Return that nothing is there."""
        return None

    def write(self, header: Buffer, *packet: Buffer) -> bool:
        """Drop the packet."""
        return True

    def close(self) -> None:
        """Close the descriptor; a second call is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class UntouchedHost:
    """Takes every wish and does nothing about it (base.HostNetwork).

    Args:
        real: the host that plans are made for.
    """

    def __init__(self, real: HostNetwork) -> None:
        self._real = real

    def open_tun(self, name: str, mtu: int, offload: bool) -> NoDevice:
        """Return what stands for the device; a number that the kernel would choose is 0."""
        return NoDevice(name.replace("%d", "0"))

    def apply(self, wished: HostState) -> HostReport:
        """Report that nothing was done."""
        return HostReport()

    def plan(self, wished: HostState) -> HostPlan:
        """Return what the real host would have to do. Raises: HostError when it cannot be looked at."""
        return self._real.plan(wished)

    def clear(self) -> tuple[str, ...]:
        """Do nothing."""
        return ()
