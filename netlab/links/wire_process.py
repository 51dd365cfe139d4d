"""The laboratory's end of the wire process (netlab/links/wire.py)."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from netlab.errors import ExpectationFailed
from netlab.links.impairment import Impairment, settings
from netlab.processes import CHECKOUT, environment

ANSWER_SECONDS: Final = 5.0
ANSWER_BYTES: Final = 1 << 20
END_SECONDS: Final = 2.0


class WireProcess:
    """A running wire process; it ends with this object, or with the process that holds it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(ANSWER_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "netlab.links.wire", str(theirs.fileno())],
                cwd=CHECKOUT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )

    def ended(self) -> bool:
        """Return whether the process has died; the links that it carried pass nothing then."""
        return self._process.poll() is not None

    def carry(self, name: str, impairment: Impairment, descriptors: Sequence[int] = ()) -> None:
        """Carry a direction by these rules from now on.

        Args:
            descriptors: of a direction that is new to it: tap and outlet, which it gets copies of.

        Raises:
            ExpectationFailed: the process has ended; the links that it carried pass nothing.
        """
        self._ask({"do": "carry", "lane": name, "settings": settings(impairment)}, descriptors)

    def end(self, name: str) -> None:
        """Let go of a direction; what is on its way leaves at once. Raises as `carry` does."""
        self._ask({"do": "end", "lane": name})

    def counts(self) -> dict[str, dict[str, int]]:
        """Return what became of the frames so far, by direction (lane.Counts). Raises as `carry` does."""
        return self._ask({"do": "counts"})

    def close(self) -> None:
        """End the process."""
        self._control.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], list(descriptors))
            data = self._control.recv(ANSWER_BYTES)
        except OSError as error:
            raise ExpectationFailed(f"the wire process does not answer: {error}") from error
        if not data:
            raise ExpectationFailed(f"the wire process ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(data)
        return answer
