"""The task that changes links of a running laboratory."""

from __future__ import annotations

from invoke import Context

from netlab.tasks import LAB_NAME_HELP
from rustun.ops.tasks.arguments import JSON_HELP, end, refuse, task


@task(
    positional=["link"],
    iterable=["set"],
    help={
        "link": 'A-B for both directions, "A->B" for one, A for the cable of a node that has one, or all',
        "set": "NAME=VALUE, may be given several times; settings that are not named stay as they are",
        "clear": "take all settings away (those of --set come after that)",
        "for": "undo it after this time, such as 10s, whether or not this command still runs",
        "show": "change nothing (so it is without --set and --clear)",
        "name": LAB_NAME_HELP,
        "json": JSON_HELP,
    },
)
def lab_link(
    _context: Context,
    link: str,
    set: list[str] | None = None,
    clear: bool = False,
    for_: str = "",
    show: bool = False,
    name: str = "",
    json: bool = False,
) -> None:
    """Impair a link of a running laboratory: delay, loss, rate and more; what is set is measured at once.

    Settings: delay, jitter, loss, burst, rate, queue, duplicate, reorder, mtu, black_hole_icmp, flap, seed; what they
    mean is in docs/lab.md. Ends with 5 where the link does not do it in any way; it is then as it was.

    Examples:
        ./invoke lab-link bj-dev --set delay=50ms --set loss=1%
        ./invoke lab-link "server->bj-dev" --set rate=10mbit --set queue=50
        ./invoke lab-link bj-dev --set loss=100% --for 10s
        ./invoke lab-link all
        ./invoke lab-link bj-dev --clear
    """
    if show and (set or clear):
        refuse("lab-link: --show together with --set or --clear", "show what it does, or change it")

    from netlab.links import command

    end(command.run(name, link, command.Wish(tuple(set or ()), clear, for_), as_json=json))
