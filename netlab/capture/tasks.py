"""The task that records packets of a running laboratory."""

from __future__ import annotations

from invoke import Context

from netlab.tasks import LAB_NAME_HELP
from rustun.ops.tasks.arguments import JSON_HELP, end, number, task


@task(
    positional=["what"],
    help={
        "what": "by comma: a node (all its interfaces), a cable A-B (both ends), NODE:INTERFACE, or all",
        "filter": 'which packets, as for tcpdump: "host 10.0.1.1 and tcp port 80"; see docs/lab.md',
        "write": "file to write; - for standard output (default: one in build/captures)",
        "for": "end after this time, such as 10s (default: with ctrl-C)",
        "snap": "bytes of each packet that are kept, 0 for all (256)",
        "name": LAB_NAME_HELP,
        "json": JSON_HELP,
    },
)
def lab_capture(
    _context: Context,
    what: str,
    filter: str = "",
    write: str = "",
    for_: str = "",
    snap: str = "256",
    name: str = "",
    json: bool = False,
) -> None:
    """Record packets of a running laboratory into one pcapng file, with an interface for each tap.

    A member's rustun0 shows what is inside its tunnel, its eth0 what is outside. The file can be read meanwhile. What
    each tap received and lost is told at the end, and stands in the file.

    Examples:
        ./invoke lab-capture bj-dev
        ./invoke lab-capture bj-dev,sh-db --filter icmp --for 10s
        ./invoke lab-capture server-bj-dev --write link.pcapng --snap 0
        ./invoke lab-capture all --write - | wireshark -k -i -
    """
    kept = int(number("--snap", snap, 0, 1 << 18))

    from netlab.capture import command

    end(command.run(command.Order(name, what, filter, write, for_, kept, json)))
