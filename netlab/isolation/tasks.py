"""The task that sends single probes in a running laboratory."""

from __future__ import annotations

from invoke import Context

from netlab.tasks import LAB_NAME_HELP
from rustun.ops.tasks.arguments import JSON_HELP, end, task


@task(
    positional=["sender", "target"],
    help={
        "sender": "a member, or a host on a LAN",
        "target": "another one, broadcast, or multicast",
        "kind": "icmp, tcp-open, tcp-closed, udp, fragments (6 at the end: by IPv6), forged-member, forged-cluster, "
        "forged-lan; a beginning stands for all of them, all for everything (icmp; to broadcast and multicast all)",
        "name": LAB_NAME_HELP,
        "json": JSON_HELP,
    },
)
def lab_probe(_context: Context, sender: str, target: str, kind: str = "", name: str = "", json: bool = False) -> None:
    """Send one probe in a running laboratory, and say what came of it: where it was seen last, what was counted.

    Ends with 5 where that is not what the inventory says. Beside other traffic the counters may not be the probe's.

    Examples:
        ./invoke lab-probe bj-dev bj-office-gw
        ./invoke lab-probe bj-dev sh-db --kind udp
        ./invoke lab-probe bj-dev broadcast --kind all --json
    """
    from netlab.isolation import command

    end(command.run(name, sender, target, kind, as_json=json))
