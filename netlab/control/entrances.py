"""The namespaces of a laboratory that another process keeps, held by this one as well."""

from __future__ import annotations

import os
from collections.abc import Iterable

from netlab import kernel
from netlab.control.asking import ask_the_way
from netlab.control.runfolder import RunFolder
from netlab.errors import EnvironmentLacks, LabError
from netlab.namespaces import NetworkNamespace


def namespaces(folder: RunFolder, nodes: Iterable[str]) -> dict[str, NetworkNamespace]:
    """Return the network namespaces of nodes; this process joins the laboratory's user namespace, if it has one.

    Must be called while this process has one thread. As long as a namespace is held it does not go, even when the
    laboratory does.

    Raises:
        LabError: no such node, or nobody answers.
        EnvironmentLacks: this user may not enter it.
    """
    held: dict[str, NetworkNamespace] = {}
    joined = False
    try:
        for node in nodes:
            words, descriptors = ask_the_way(folder, node)
            found = dict(zip(words["flags"], descriptors, strict=True))
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
