"""`lab-probe`: let a running laboratory send single probes, and print what came of them."""

from __future__ import annotations

import json
from typing import Final

from netlab.control import runfolder
from netlab.control.asking import demand
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, in_words

ANSWER_SECONDS: Final = 60.0
SCHEMA: Final = 1


@in_words("lab-probe")
def run(laboratory: str, sender: str, target: str, kind: str, *, as_json: bool) -> int:
    """Ask for the probes and return the exit code: 5 where one was not as expected."""
    folder = runfolder.find(laboratory)
    answer = demand(folder, {"do": "probe", "from": sender, "to": target, "kind": kind}, ANSWER_SECONDS)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "laboratory": folder.name, **answer}, indent=2))
    else:
        print("\n\n".join("\n".join(one["lines"]) for one in answer["probes"]))
    return EXIT_OK if all(one["as_expected"] for one in answer["probes"]) else EXIT_UNEXPECTED
