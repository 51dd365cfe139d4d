"""Our nftables table, and whether it still stands as we loaded it.

Rules of this module
  1. `nft` is asked only when something has changed: the kernel counts the changes of its rulesets, and tells the count
     for the price of one system call.
  2. A table that somebody changed is neither kept nor mended but replaced.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from rustun.backends import nft
from rustun.backends.firewall import table_name

HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
NLM_F_REQUEST: Final = 1
NFT_MSG_NEWGEN, NFT_MSG_GETGEN = 10 << 8 | 15, 10 << 8 | 16  # of the subsystem NFNL_SUBSYS_NFTABLES
NFGENMSG: Final = bytes(4)  # any family, version 0
NETLINK_NETFILTER: Final = 12
TIMEOUT_S: Final = 5


class HostTable:
    """The table of one device.

    Args:
        device: name of the TUN device.
    """

    def __init__(self, device: str) -> None:
        self._name = table_name(device)
        self._script: str | None = None  # what stands: "" no table, None something that we do not know
        self._listing: str | None = ""
        self._generation: int | None = None  # when that was so

    @property
    def name(self) -> str:
        """Family and name of the table."""
        return f"inet {self._name}"

    def script(self) -> str | None:
        """Return the script that stands, "" where there is no table, None where the table is not as we loaded it.

        Raises: HostError or RightsError, as `nft.listed`.
        """
        now = generation()
        if now is None or now != self._generation:
            listing = nft.listed(self._name)
            if listing is None:
                self._script = ""
            elif self._script is None or listing != self._listing:
                self._script = None
            self._listing, self._generation = listing, now
        return self._script

    def load(self, script: str) -> None:
        """Replace the table. Raises: HostError or RightsError, as `nft.load`; what stood there stands still."""
        nft.load(script)
        self._generation = generation()  # before the listing: whoever comes in between is noticed next time
        self._script, self._listing = script, nft.listed(self._name)

    def delete(self) -> None:
        """Remove the table. Raises: HostError or RightsError, as `nft.delete`."""
        nft.delete(self._name)
        self._script, self._listing, self._generation = "", None, generation()


def generation() -> int | None:
    """Return a number that is another after each change of a ruleset in this namespace; None without nftables."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
            netlink.settimeout(TIMEOUT_S)
            netlink.send(HEADER.pack(HEADER.size + 4, NFT_MSG_GETGEN, NLM_F_REQUEST, 1, 0) + NFGENMSG)
            answer = netlink.recv(1 << 12)
    except OSError:
        return None
    _, kind, _, _, _ = HEADER.unpack_from(answer)
    if kind != NFT_MSG_NEWGEN:
        return None
    length, _ = struct.unpack_from("=HH", answer, HEADER.size + 4)  # the first attribute: NFTA_GEN_ID
    return int.from_bytes(answer[HEADER.size + 8 : HEADER.size + 4 + length], "big")
