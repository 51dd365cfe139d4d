"""Tasks that draw: a laboratory, and what packets did in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from invoke import Context

from netlab.tasks import LAB_NAME_HELP
from rustun.ops.tasks.arguments import JSON_HELP, end, refuse, task

FORMS: Final = {"sequence": ("text", "svg"), "picture": ("text", "mermaid", "svg")}


@task(
    positional=["file"],
    help={
        "file": "a capture, also one that is still being written",
        "form": "text (default) or svg",
        "acks": "draw acknowledgements that carry nothing as well",
        "json": JSON_HELP,
    },
)
def lab_sequence(_context: Context, file: str, form: str = "text", acks: bool = False, json: bool = False) -> None:
    """Draw what the packets of a capture did: taps from left to right, time from top to bottom.

    An arrow leads from the tap that saw a packet first to the one that saw it last; a cross says that it left a node
    and did not come in where a tap waited for it. Ends with 5 where there is no packet.

    Examples:
        ./invoke lab-sequence build/captures/demo-all.pcapng
        ./invoke lab-sequence link.pcapng --form svg > link.svg
        ./invoke lab-sequence link.pcapng --json
    """
    form = _form("lab-sequence", form, FORMS["sequence"], json=json)

    from netlab.picture import command

    end(command.draw_sequence(Path(file), form=form, acknowledgements=acks))


@task(
    help={
        "inventory": "draw the plan of this inventory, a file or a folder (default: what runs is drawn)",
        "name": LAB_NAME_HELP,
        "form": "text (default), mermaid or svg",
        "json": JSON_HELP,
    },
)
def lab_picture(_context: Context, inventory: str = "", name: str = "", form: str = "text", json: bool = False) -> None:
    """Draw a laboratory: the plan of an inventory, or one that runs, with the state of each node and cable.

    Of a running one, echoes measure the round trip and loss of each member's cable; beside a member's state stands the
    round trip through its tunnel. Signs and words say what colours say. The same input gives the same bytes.

    Examples:
        ./invoke lab-picture
        ./invoke lab-picture --name rehearsal --form svg > lab.svg
        ./invoke lab-picture --inventory inventory/example --form mermaid
        ./invoke lab-picture --json
    """
    form = _form("lab-picture", form, FORMS["picture"], json=json)
    if inventory and name:
        refuse("lab-picture: --inventory together with --name", "a plan has no name, and what runs needs no inventory")

    from netlab.picture import command

    if inventory:
        end(command.draw_plan(Path(inventory), form=form))
    else:
        end(command.draw_running(name, form=form))


def _form(name: str, form: str, forms: tuple[str, ...], *, json: bool) -> str:
    """Return the form that was asked for; end the task with 2 where there is none of that name."""
    if form not in forms:
        refuse(f'{name}: --form "{form}"', f"one of: {', '.join(forms)}")
    return "json" if json else form
