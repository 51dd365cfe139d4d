"""What the documents show: commands in the order of a page, each with what stands below it.

Rules of this module
  1. A block without a language shows commands: those behind `$ `, with their output below them, or, where it has none
     of these, one in each line. Every other block names its language, `text` where it is none.
  2. Words beside a command are a comment, so a line can be typed as it stands.
  3. A command is played by the test of its page (PLAYED) or is listed with the reason why it is not (NOT_PLAYED).
  4. Expected is what the page says: a line `...` stands for any lines, and so it does at the end of one. What differs
     from time to time is masked on both sides, and so is the room that it takes.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ *```(.*)\n((?:.*\n)*?) *```$", re.MULTILINE)
SECONDS = re.compile(r"\b\d+(\.\d)? s\b")
FIGURES = re.compile(
    r"(?<![\w.])\d+(\.\d+)?(?= (?:s|ms|min|[kMG]?B)\b)"  # what has a unit
    r"|(?<![\w.])\d+\.\d+(?![\w.])"  # and fractions; no part of an address
    r"|(?<=\bnow )\d+|(?<=\d:)\d{5}\b|[A-Za-z0-9+/]{43}="  # counters, ports that the kernel chose, keys
)


@dataclass(frozen=True)
class Shown:
    """A command as it is typed, and what stands below it; empty where nothing does."""

    command: str
    output: str


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return language and text of each block of a document."""
    return [(language.strip(), textwrap.dedent(text)) for language, text in BLOCK.findall(document.read_text())]


def commands(document: Path) -> list[Shown]:
    """Return the commands that a document shows."""
    found = []
    for language, text in blocks(document):
        if language:
            continue
        text = text.replace("\\\n", " ")
        if text.startswith("$ "):
            parts = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
            found += [Shown(_typed(command), output) for command, _, output in parts]
        else:
            found += [Shown(_typed(line), "") for line in text.splitlines() if line.strip()]
    return found


def _typed(line: str) -> str:
    return re.split(r" +# ", line, maxsplit=1)[0].strip()


def fits(shown: str, wanted: str, *masks: re.Pattern[str]) -> bool:
    """Tell whether a text is what a document shows (rule 4)."""
    masks = masks or (SECONDS,)
    pattern = ""
    for line in wanted.splitlines():
        text = re.escape(_masked(line.removesuffix("..."), masks))
        pattern += "(.*\n)*?" if line == "..." else text + (".*\n" if line.endswith("...") else " *\n")
    return re.fullmatch(pattern, _masked(shown, masks)) is not None


def _masked(text: str, masks: tuple[re.Pattern[str], ...]) -> str:
    for mask in masks:
        text = mask.sub("N s" if mask is SECONDS else "N", text)
    return text if masks == (SECONDS,) else re.sub(r"(?<=\S) {2,}", "  ", text)


PLAYED = {  # by which test; it ends with nothing of its document left
    "api.md": "tests/unit/web/test_shown_question.py",
    "dashboard.md": "tests/unit/cli/test_shown_tokens.py",
    "deploy.md": "tests/unit/ops/test_shown_tasks.py",
    "diagnose.md": "tests/netlab/test_shown_questions.py",
    "fleet.md": "tests/machines/test_walkthrough.py",
    "hosts.md": "tests/netlab/test_shown_questions.py",
    "lab.md": "tests/netlab/test_shown_lab.py",
    "lint.md": "tests/unit/ops/test_shown_tasks.py",
    "metrics.md": "tests/unit/cli/test_shown_tokens.py",
    "migrating.md": "tests/unit/ops/test_shown_tasks.py",
    "operations.md": "tests/unit/ops/test_operations.py",
    "policy.md": "tests/unit/ops/test_shown_tasks.py",
    "start.md": "tests/netlab/test_start.py",
    "status.md": "tests/netlab/test_shown_questions.py",
}
NETWORK = "asks a package index, and tests reach no network; tests/unit/test_packaging.py installs the wheel"
DEMO = "tests/netlab/test_ordinary_user.py runs the demo"
LAB_DEMO = "tests/netlab/test_lab_demo.py runs it, with a smaller fleet"
MACHINES = "changes the host; tests/machines/test_units.py makes the same of real machines"
ACCOUNTS = "changes the host; tests/netlab/test_server_user.py tries each of these rights"
PARTS = "tests/netlab/test_lab_choice.py brings up a part; tests/unit/netlab/test_sampling.py has who is in it"
SCENARIOS = "takes long; tests/netlab/test_scenarios.py plays them"
LONG = "takes long, and ends in tests of its own: "
NOT_PLAYED = {  # why not
    "api.md": {"sudo install": MACHINES},
    "CONTRIBUTING.md": {"./invoke": f"{LONG}tests/unit/ops/test_checks.py, tests/unit/ops/test_invoke_script.py"},
    "dashboard.md": {"sudo /opt/rustun/bin/pip install": NETWORK},
    "events.md": {"journalctl": "asks systemd's journal; tests/machines/test_units.py does on a real machine"},
    "lab.md": {
        "./invoke demo": DEMO,
        "./invoke lab-demo": LAB_DEMO,
        "./invoke lab-up --inventory my-fleet --limit": PARTS,
        "./invoke lab-run failover": SCENARIOS,
        "./invoke lab-run 'reload-*'": SCENARIOS,
    },
    "metrics.md": {"sudo /opt/rustun/bin/pip install": NETWORK},
    "operations.md": {"ssh": "on a host of one's own; tests/netlab/test_shown_questions.py asks for the same status"},
    "performance.md": {"./invoke bench": f"{LONG}tests/unit/netlab/bench/test_run.py"},
    "README.md": {"./invoke test": "runs these tests"},
    "security.md": {"useradd": ACCOUNTS, "chown": ACCOUNTS, "chgrp": ACCOUNTS, "chmod": ACCOUNTS},
    "start.md": {
        "./invoke demo": DEMO,
        "./invoke lab-demo": LAB_DEMO,
        "sudo python3 -m venv": NETWORK,
        "sudo /opt/rustun/bin/pip install": NETWORK,
        "sudo ln -s": MACHINES,
    },
    "systemd.md": {
        "python3 -m venv": NETWORK,
        **dict.fromkeys(("ln", "useradd", "systemctl", "install", "chgrp"), MACHINES),
    },
}


def why_not(document: str, command: str) -> str:
    """Return why a command is not played; empty where it is."""
    reasons = NOT_PLAYED.get(document, {})
    return next((why for beginning, why in reasons.items() if command.startswith(beginning)), "")


def played(document: str) -> list[Shown]:
    """Return what a document shows and a test types, in its order."""
    return [one for one in commands(ROOT / "docs" / document) if not why_not(document, one.command)]
