"""Make requirements.lock: every dependency of the extras, pinned, with the hashes of all files of its release.

The hashes cover all platforms and Python versions that a release has files for, so that one lock serves 3.11 to 3.14 on
x86_64 and aarch64. pip-tools resolves; it lives in a throw-away environment, because nothing else needs it.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Final

from rustun.errors import HostError

HEADER: Final = """\
# Made by `./invoke lock` from pyproject.toml: versions and hashes of all that toolkit, lab and tests need.
# ./invoke installs exactly these (pip --require-hashes) and makes .venv anew when this file changes.
"""
OPTIONS: Final = (
    "--quiet", "--generate-hashes", "--allow-unsafe", "--strip-extras", "--all-extras", "--no-header",
    "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host",
)  # fmt: skip
# The `dev` extra names the package itself (rustun[ops,lab]); what is in the checkout has no release to pin.
OWN_ENTRY: Final = re.compile(r"^(# WARNING: pip install.*\n(#.*\n)*)?rustun @ .*\n(    #.*\n)*", re.MULTILINE)


def make_lock(checkout: Path, *, upgrade: bool) -> str:
    """Return the text of a lock for the checkout's pyproject.toml.

    Args:
        checkout: folder with pyproject.toml and, maybe, the lock so far, whose versions are kept.
        upgrade: take the newest versions instead.
    Raises: HostError when the dependencies cannot be resolved.
    """
    with tempfile.TemporaryDirectory(prefix="rustun-lock-") as folder:
        environment, draft = Path(folder, "venv"), Path(folder, "requirements.lock")
        venv.create(environment, with_pip=True)
        _run(environment / "bin" / "pip", "install", "--quiet", "pip-tools")
        present = checkout / "requirements.lock"
        draft.write_text(present.read_text() if present.exists() else "")
        options = (*OPTIONS, "--upgrade") if upgrade else OPTIONS
        _run(environment / "bin" / "pip-compile", *options, f"--output-file={draft}", str(checkout / "pyproject.toml"))
        return HEADER + OWN_ENTRY.sub("", draft.read_text())


def _run(program: Path, *arguments: str) -> None:
    try:
        subprocess.run([program, *arguments], check=True)
    except subprocess.CalledProcessError as error:
        raise HostError(f"{program.name} ended with code {error.returncode}", "see its words above") from error
