"""`lab-probe`: let a running laboratory send single probes, and print what came of them."""

from __future__ import annotations

import json
import sys
from typing import Final

from netlab.control import runfolder
from netlab.control.asking import ask
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, LabError

ANSWER_SECONDS: Final = 60.0
SCHEMA: Final = 1


def run(laboratory: str, sender: str, target: str, kind: str, *, as_json: bool) -> int:
    """Ask for the probes and return the exit code: 5 where one was not as expected."""
    try:
        folder = runfolder.find(laboratory)
        request = {"do": "probe", "from": sender, "to": target, "kind": kind}
        answer = ask(folder, request, ANSWER_SECONDS)
        if "error" in answer:
            print(f"lab-probe: {LabError(answer['error'], answer.get('remedy', ''))}", file=sys.stderr)
            return int(answer.get("exit_code", EXIT_UNEXPECTED))
    except LabError as error:
        print(f"lab-probe: {error}", file=sys.stderr)
        return error.exit_code
    if as_json:
        print(json.dumps({"schema": SCHEMA, "laboratory": folder.name, **answer}, indent=2))
    else:
        print("\n\n".join("\n".join(one["lines"]) for one in answer["probes"]))
    return EXIT_OK if all(one["as_expected"] for one in answer["probes"]) else EXIT_UNEXPECTED
