"""Runs pytest again and again: each run is a fork of a process that has loaded the libraries, and nothing of ours.

    python -P forking.py  (where the checkout is; with it in PYTHONPATH)

Loading them takes as long as most of the runs. Standard input has one request a line, a JSON list of arguments; the
answer is one line of JSON: {"code": exit code, "said": what the run wrote}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from tempfile import TemporaryFile
from typing import Final

LIBRARIES: Final = (
    "pytest",
    "hypothesis.stateful",
    "cryptography.hazmat.primitives.asymmetric.x25519",
    "cryptography.hazmat.primitives.ciphers.aead",
    "pydantic",
)
OURS: Final = frozenset({"rustun", "netlab", "tests", "tasks"})
BROKEN: Final = 70  # the exit code of a run that did not come to pytest's own


def answer(arguments: list[str]) -> dict[str, object]:
    """Run pytest in a fork; return its exit code and what it said."""
    import pytest

    with TemporaryFile() as said, open(os.devnull) as nothing:
        if not (child := os.fork()):
            code = BROKEN
            try:
                for descriptor, file in enumerate((nothing, said, said)):
                    os.dup2(file.fileno(), descriptor)
                code = int(pytest.main(arguments))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return {"code": code, "said": said.read().decode(errors="replace")}


def main() -> None:
    """Load, then answer until standard input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    ours = sorted(name for name in sys.modules if name.partition(".")[0] in OURS)
    assert not ours, f"without its guard a module would be as it was with it: {ours}"
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
