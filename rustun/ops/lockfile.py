"""Make requirements.lock: every dependency of the extras, pinned, with the hashes of all files of its release.

The hashes cover all platforms and Python versions that a release has files for, so that one lock serves 3.11 to 3.14 on
x86_64 and aarch64. pip-tools resolves; it lives in a throw-away environment, because nothing else needs it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

from rustun.durable import replace_file
from rustun.ops.exit_codes import ENVIRONMENT

HEADER: Final = """\
# Made by `./invoke lock` from pyproject.toml: versions and hashes of all that toolkit, lab and tests need.
# ./invoke installs exactly these (pip --require-hashes) and makes .venv anew when this file changes.
"""
OPTIONS: Final = (
    "--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras", "--all-extras", "--no-header",
    "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host",
)  # fmt: skip
# The `dev` extra names the package itself (rustun[ops]); what is in the checkout has no release to pin.
OWN_ENTRY: Final = re.compile(r"^(# WARNING: pip install.*\n(#.*\n)*)?rustun @ .*\n(    #.*\n)*", re.MULTILINE)


def run(checkout: Path, *, upgrade: bool) -> int:
    """Make the lock of a checkout anew; return 0, or 4 where pip-tools could not, and then leave the lock as it was.

    Args:
        checkout: folder with pyproject.toml and, maybe, the lock so far, whose versions are kept.
        upgrade: take the newest versions instead.
    """
    try:
        text = _make_lock(checkout, upgrade=upgrade)
    except subprocess.CalledProcessError as error:
        program = Path(error.cmd[0]).name
        print(f"{error.stderr or ''}lock: {program} ended with code {error.returncode}", file=sys.stderr)
        return ENVIRONMENT
    replace_file(checkout / "requirements.lock", text.encode())
    print(f"lock: {text.count('==')} packages pinned in requirements.lock")
    return 0


def _make_lock(checkout: Path, *, upgrade: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="rustun-lock-") as folder:
        environment, draft = Path(folder, "venv"), Path(folder, "requirements.lock")
        venv.create(environment, with_pip=True)
        subprocess.run([environment / "bin" / "pip", "install", "--quiet", "pip-tools"], check=True)
        present = checkout / "requirements.lock"
        draft.write_text(present.read_text() if present.exists() else "")
        options = (*OPTIONS, "--upgrade") if upgrade else OPTIONS
        command = [environment / "bin" / "pip-compile", *options, f"--output-file={draft}", "pyproject.toml"]
        # In the checkout, because the lock quotes the name as given; its words about the own entry are settled below.
        subprocess.run(command, cwd=checkout, check=True, stderr=subprocess.PIPE, text=True)
        return HEADER + OWN_ENTRY.sub("", draft.read_text().removeprefix(HEADER))
