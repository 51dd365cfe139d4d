"""How a process of the laboratory ends where something stands in its way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from netlab.processes import CHECKOUT, environment

END: Final = """
import sys
from netlab.ending import code_of
from netlab.errors import BadInput
def work():
    {work}
    return 3
sys.exit(code_of("lab", work))
"""


def ended(work: str, stdout: str = "/dev/null") -> tuple[int, str]:
    """Run a piece of work with its standard output there; return exit code and standard error."""
    with Path(stdout).open("w") as output:
        command = [sys.executable, "-c", END.format(work=work)]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=environment(), stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("work", "code", "words"),
    [
        ("pass", 3, ""),
        ("raise BadInput('no', 'do')", 2, "lab: no\n  do\n"),
        ("raise KeyboardInterrupt", 130, "lab: interrupted; all is taken down\n"),
        ("open('/nowhere/at/all')", 4, "lab: /nowhere/at/all: No such file or directory\n  check the room"),
        ("raise MemoryError", 4, "lab: memory is short\n  end what else"),
    ],
)
def test_every_end_has_a_code_and_words(work: str, code: int, words: str) -> None:
    """A full disk, or a folder of somebody else, ends in a traceback and a code of another fault."""
    found, said = ended(work)
    assert found == code
    assert said.startswith(words)
    assert "Traceback" not in said


def test_a_full_disk_behind_standard_output_is_told() -> None:
    """`demo --json > report.json` on a full disk leaves half a document, and says that all went well."""
    assert ended("print('{}')", "/dev/full")[0] == 4
    assert "No space left" in ended("print('{}')", "/dev/full")[1]


def test_who_reads_no_further_is_no_fault() -> None:
    """`./invoke lab-run --list | head -1` ends in a traceback."""
    command = [sys.executable, "-c", END.format(work="print('x\\n' * 1_000_000)")]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
