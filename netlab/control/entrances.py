"""The namespaces of a laboratory that another process keeps, held by this one as well."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from typing import Final

from netlab import kernel
from netlab.control.asking import send
from netlab.control.runfolder import RunFolder
from netlab.errors import BadInput, EnvironmentLacks, LabError
from netlab.namespaces import NetworkNamespace

ANSWER_SECONDS: Final = 10.0
ANSWER_BYTES: Final = 1 << 16
MOST_NAMESPACES: Final = 8


def namespaces(folder: RunFolder, nodes: Iterable[str]) -> dict[str, NetworkNamespace]:
    """Return the network namespaces of nodes; this process joins the laboratory's user namespace, if it has one.

    Must be called while this process has one thread. As long as a namespace is held it does not go, even when the
    laboratory does.

    Raises:
        BadInput: no such node, or nobody answers.
        EnvironmentLacks: this user may not enter it.
    """
    held: dict[str, NetworkNamespace] = {}
    joined = False
    try:
        for node in nodes:
            found = _entrance(folder, node)
            held[node] = NetworkNamespace(found.pop(kernel.CLONE_NEWNET))
            user = found.pop(kernel.CLONE_NEWUSER, None)
            for descriptor in found.values():
                os.close(descriptor)
            if user is not None:
                if not joined:
                    kernel.setns(user, kernel.CLONE_NEWUSER)
                joined = True
                os.close(user)
    except (OSError, LabError) as error:
        for namespace in held.values():
            namespace.close()
        if isinstance(error, LabError):
            raise
        raise EnvironmentLacks(f"cannot enter {folder.name}: {error}", "run it as the user who ran lab-up") from error
    return held


def _entrance(folder: RunFolder, node: str) -> dict[int, int]:
    """Return the descriptors that lead into a node, by their CLONE flag."""
    with folder.connect() as control:
        control.settimeout(ANSWER_SECONDS)
        send(control, {"do": "enter", "node": node})
        answer, descriptors, _, _ = socket.recv_fds(control, ANSWER_BYTES, MOST_NAMESPACES)
    reply = json.loads(answer)
    if "error" in reply:
        raise BadInput(f'"{node}": {reply["error"]}')
    return dict(zip(reply["flags"], descriptors, strict=True))
