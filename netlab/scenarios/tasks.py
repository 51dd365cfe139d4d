"""The task that runs scenarios."""

from __future__ import annotations

from invoke import Context

from rustun.ops.tasks.arguments import JSON_HELP, end, refuse, task


@task(
    positional=["names"],
    gathers=True,
    help={
        "names": "scenarios, or patterns such as 'relay-*'; all",
        "list": "say what there is, and run nothing; with --json: steps and pictures as well",
        "json": JSON_HELP,
    },
)
def lab_run(_context: Context, names: str, list: bool = False, json: bool = False) -> None:
    """Run named scenarios: real processes in namespaces of their own; each step is shown as it goes.

    Ends with 5 where one fails (its files stay below build/logs/scenarios), with 2 where nothing was run.

    Examples:
        ./invoke lab-run --list
        ./invoke lab-run roaming
        ./invoke lab-run roaming 'narrow-*' --json
        ./invoke lab-run all
    """
    if list and names:
        refuse("lab-run: --list together with names", "list them, or run some")

    from netlab import api

    end(api.scenarios(names, listed=list, as_json=json))
