"""Tasks for laboratories that are up: look at them, run things in them, let them follow, take them down."""

from __future__ import annotations

from invoke import Context

from netlab.tasks import LAB_NAME_HELP
from rustun.ops.tasks.arguments import JSON_HELP, after_dashes, end, refuse, task


@task(help={"name": LAB_NAME_HELP, "json": JSON_HELP})
def lab_status(_context: Context, name: str = "", json: bool = False) -> None:
    """Say what a laboratory's nodes are and do, and what its start took. Ends with 5 where a process has ended.

    Examples:
        ./invoke lab-status
        ./invoke lab-status --json
    """
    from netlab import api

    end(api.status(name=name, as_json=json))


@task(help={"json": JSON_HELP})
def lab_ls(_context: Context, json: bool = False) -> None:
    """List all laboratories: whose they are, since when, made from what, up or dead. Root sees those of all users.

    Examples:
        ./invoke lab-ls
        ./invoke lab-ls --json
    """
    from netlab.control import listing

    end(listing.run(as_json=json))


@task(
    positional=["nodes"],
    after_dashes="COMMAND",
    help={
        "nodes": "a node, a pattern such as 'beijing/*' or 'bj-*', role:member, role:host, all; several by comma",
        "name": LAB_NAME_HELP,
        "json": JSON_HELP,
    },
)
def lab_exec(_context: Context, nodes: str, name: str = "", json: bool = False) -> None:
    """Run a command inside nodes of a laboratory, in all of them at once.

    COMMAND is all that stands behind --, as it would be typed in the node; a shell's signs need a shell: sh -c '...'.
    In one node, by its name, the command has this terminal, and its exit code becomes ours. In several, each line of
    output comes with its node, and the exit code is 0, or 5 where it failed in some.

    Examples:
        ./invoke lab-exec bj-dev -- ping -c 3 10.0.1.1
        ./invoke lab-exec sh-office-gw -- sh
        ./invoke lab-exec 'beijing/*' -- ip -br addr
        ./invoke lab-exec role:host,bj-dev --json -- ip route
        ./invoke lab-exec control -- ssh root@gw.example.com     (of machines)
    """
    command = after_dashes()
    if not command:
        refuse("lab-exec: no command", f"./invoke lab-exec {nodes} -- COMMAND")

    from netlab import api

    end(api.execute(nodes, command, name=name, as_json=json))


@task(help={"for": "end after this time, such as 10s", "name": LAB_NAME_HELP})
def lab_events(_context: Context, for_: str = "", name: str = "") -> None:
    """Print what a laboratory is and then all that happens in it, as lines of JSON, until ctrl-C.

    Nodes that come and go, processes that start and end, sessions, links that change, steps of lab-apply; the form is
    in docs/lab.md.

    Examples:
        ./invoke lab-events
        ./invoke lab-events --for 10s
    """
    from netlab.control import events

    end(events.run(name, for_))


@task(help={"name": LAB_NAME_HELP, "json": JSON_HELP})
def lab_diff(_context: Context, name: str = "", json: bool = False) -> None:
    """Say how the inventory differs by now from a laboratory that was made from it. Ends with 5 where it does.

    Examples:
        ./invoke lab-diff
        ./invoke lab-diff --json
    """
    from netlab.control import following

    end(following.diff(name, as_json=json))


@task(help={"name": LAB_NAME_HELP, "json": JSON_HELP})
def lab_apply(_context: Context, name: str = "", json: bool = False) -> None:
    """Let a laboratory follow its inventory while it is up, then prove again who reaches whom, with packets.

    Members, hosts, routers and links come, go and change; who is not concerned keeps session and cable. Ends with 5
    where a step fails, or somebody reaches whom he may not.

    Examples:
        ./invoke lab-apply
        ./invoke lab-apply --name rehearsal --json
    """
    from netlab.control import following

    end(following.apply(name, as_json=json))


@task(help={"json": JSON_HELP})
def lab_doctor(_context: Context, json: bool = False) -> None:
    """Try what of this machine a laboratory needs, and say how to mend what is missing. Ends with 4 where none can run.

    Examples:
        ./invoke lab-doctor
        ./invoke lab-doctor --json
    """
    from netlab import api

    end(api.doctor(as_json=json))


@task(help={"name": LAB_NAME_HELP, "json": JSON_HELP})
def lab_down(_context: Context, name: str = "", json: bool = False) -> None:
    """Take a laboratory down, and check that nothing is left of it. Ends with 5 where something is.

    Examples:
        ./invoke lab-down
        ./invoke lab-down --name rehearsal --json
    """
    from netlab import api

    end(api.down(name=name, as_json=json))


@task(help={"json": JSON_HELP})
def lab_sweep(_context: Context, json: bool = False) -> None:
    """Remove what dead laboratories left; those whose owner lives are not touched.

    Examples:
        ./invoke lab-sweep
        ./invoke lab-sweep --json
    """
    from netlab import api

    end(api.sweep(as_json=json))
