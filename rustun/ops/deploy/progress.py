"""How far a deployment is: one line per host in place on a terminal, one line per event elsewhere; standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

from rustun.ops.deploy.looking import note
from rustun.ops.deploy.order import Visit
from rustun.printable import printable

Tell = Callable[[Visit, str], None]


@contextlib.contextmanager
def progress(visits: Iterable[Visit]) -> Iterator[Tell]:
    """Give what is told each step of a visit; from several threads."""
    if not sys.stderr.isatty():
        yield lambda visit, text: note(f"{name_of(visit)}: {text}")
        return
    from rich.console import Console  # here: without a terminal nobody needs its 80 ms
    from rich.progress import BarColumn, Progress, TextColumn

    host, doing = (TextColumn(text, markup=False) for text in ("{task.fields[host]:<20}", "{task.description}"))
    lock = threading.Lock()
    with Progress(host, BarColumn(20), doing, console=Console(stderr=True), transient=True) as bars:
        tasks = {
            id(visit): bars.add_task("waits", total=len(visit.plan.steps), host=name_of(visit)) for visit in visits
        }

        def tell(visit: Visit, text: str) -> None:
            with lock:
                bars.update(tasks[id(visit)], description=printable(text, len(text)), advance=1)

        yield tell


def name_of(visit: Visit) -> str:
    """Return what people call the host of a visit."""
    return ", ".join(visit.known.wish.names) or visit.ssh
