"""Tasks that draw: a laboratory, and what packets did in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from invoke import Context

from rustun.ops.tasks.arguments import end, refuse, task

FORMS: Final = {"sequence": ("text", "svg"), "picture": ("text", "mermaid", "svg")}


@task(
    positional=["file"],
    help={
        "file": "a capture, also one that is still being written",
        "form": "text (default) or svg",
        "acks": "draw acknowledgements that carry nothing as well",
    },
)
def lab_sequence(_context: Context, file: str, form: str = "text", acks: bool = False) -> None:
    """Draw what the packets of a capture did: taps from left to right, time from top to bottom.

    An arrow leads from the tap that saw a packet first to the one that saw it last; a cross says that it left a node
    and did not come in where a tap waited for it. Ends with 5 where there is no packet.

    Examples:
        ./invoke lab-sequence build/captures/demo-all.pcapng
        ./invoke lab-sequence link.pcapng --form svg > link.svg
    """
    _check("lab-sequence", form, FORMS["sequence"])

    from netlab.picture import command

    end(command.draw_sequence(Path(file), form=form, acknowledgements=acks))


def _check(name: str, form: str, forms: tuple[str, ...]) -> None:
    if form not in forms:
        refuse(f'{name}: --form "{form}"', f"one of: {', '.join(forms)}")
