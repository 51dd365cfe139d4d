"""`lab-sequence`: draw what a capture holds; `lab-picture`: draw a laboratory, planned or running."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from netlab.ending import code_of
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, in_words
from netlab.picture import scene_svg, scene_text, sequence, sequence_svg, sequence_text
from netlab.picture.scene import Scene, scene
from netlab.processes import environment

SCHEMA: Final = 1


@in_words("lab-sequence")
def draw_sequence(file: Path, *, form: str, acknowledgements: bool) -> int:
    """Print the diagram of a capture as text, SVG or JSON; 5 where it holds no packet."""
    diagram = sequence.arrange(*sequence.read(file), acknowledgements=acknowledgements)
    if form == "json":
        print(json.dumps({"schema": SCHEMA, "file": str(file), **sequence.facts(diagram)}, indent=2))
    else:
        print(sequence_svg.draw(diagram, file.stem) if form == "svg" else sequence_text.draw(diagram), end="")
    return EXIT_OK if diagram.rows else EXIT_UNEXPECTED


@in_words("lab-picture")
def draw_plan(inventory: Path, *, form: str) -> int:
    """Print the picture of the laboratory that an inventory makes."""
    from netlab import facts, layout
    from netlab.configuration import load
    from netlab.spec import lab_spec

    spec = lab_spec(load(inventory))
    _print(scene(facts.planned(spec, layout.plan(spec)), live=False), form)
    return EXIT_OK


def draw_running(laboratory: str, *, form: str) -> int:
    """Print the picture of a running laboratory; the cables are measured by a process that may enter it."""
    return subprocess.call([sys.executable, "-m", "netlab.picture.command", laboratory, form], env=environment())


def _draw_running(laboratory: str, form: str) -> int:
    from netlab.control import entrances, runfolder
    from netlab.control.asking import demand
    from netlab.errors import BadInput
    from netlab.picture import echoes

    folder = runfolder.find(laboratory)
    document = demand(folder, {"do": "status"})
    if "cables" not in document:
        raise BadInput(f"{folder.name} is a laboratory of real machines", "./invoke lab-status tells of those")
    members = [node["node"] for node in document["nodes"] if node["role"] == "member"]
    server = next(node for node in document["nodes"] if node["role"] == "server")
    spaces = entrances.namespaces(folder, members)
    trips = echoes.ask(spaces, server["addresses"][0].partition("/")[0])
    _print(scene({**document, "name": folder.name}, trips, live=True), form)
    return EXIT_OK


def _print(drawn: Scene, form: str) -> None:
    if form == "json":
        print(json.dumps({"schema": SCHEMA, **asdict(drawn)}, indent=2))
        return
    print({"text": scene_text.text, "mermaid": scene_text.mermaid, "svg": scene_svg.draw}[form](drawn), end="")


if __name__ == "__main__":
    sys.exit(code_of("lab-picture", partial(_draw_running, *sys.argv[1:])))
