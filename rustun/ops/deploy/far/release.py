"""A release: a virtual environment that the wheels of one wheelhouse are unpacked into.

A wheel is a zip file whose root belongs into site-packages (binary distribution format, PEP 427). Nothing is resolved
and nothing is run here, so neither pip nor ensurepip is needed: what goes in was chosen, and is checked, by digest.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from typing import Final

from rustun.ops.deploy.far.system import COMPLETE, Json, StepError, System

INTO_SITE: Final = ("purelib", "platlib")  # parts of a wheel's .data folder that belong beside its root
LEFT_OUT: Final = ("scripts", "headers", "data")  # of other packages: nothing of ours calls or builds with them
SCRIPT: Final = """\
#!{python}
import sys

from {module} import {name}

sys.exit({name}())
"""


def make_release(system: System, step: Json, place: str, wheels: Mapping[str, str]) -> None:
    """Make a release and try it.

    Args:
        step: `python` (interpreter to use), `scripts` (name -> module:function), `version` that it has to tell.
        place: folder of the release; what a try that failed left there is removed first.
        wheels: file of each wheel, by name.

    Raises: StepError, OSError: the folder then holds a ruin.
    """
    shutil.rmtree(place, ignore_errors=True)
    code, said = system.run(step["python"], "-I", "-m", "venv", "--without-pip", place)
    if code:
        raise StepError(f"{step['python']} makes no virtual environment", "install its venv module", last_lines(said))
    major, minor = step["python_version"].split(".")[:2]
    site = os.path.join(place, "lib", f"python{major}.{minor}", "site-packages")
    for name, path in wheels.items():
        unpack(name, path, site)
    python = os.path.join(place, "bin", "python")
    for name, target in step["scripts"].items():
        module, _, function = target.partition(":")
        script = os.path.join(place, "bin", name)
        with open(script, "w") as file:
            file.write(SCRIPT.format(python=python, module=module, name=function))
        os.chmod(script, 0o755)
    system.run(python, "-I", "-m", "compileall", "-q", site)  # nobody but root may write there later
    code, said = system.run(os.path.join(place, "bin", "rustun"), "--version")
    if code or step["version"] not in said.split():
        raise StepError(f"the new release does not run: rustun --version ended with {code}", "", last_lines(said))
    with open(os.path.join(place, COMPLETE), "w") as file:
        json.dump({"wheels": sorted(wheels)}, file)


def unpack(name: str, path: str, site: str) -> None:
    """Unpack one wheel into site-packages. Raises: StepError: it holds what has no place there."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                target = place_of(entry.filename)
                if target is None or entry.is_dir():
                    continue
                if os.path.isabs(target) or ".." in target.split("/"):
                    raise StepError(f"{name} holds {entry.filename!r}, which leads out of it")
                final = os.path.join(site, target)
                os.makedirs(os.path.dirname(final), exist_ok=True)
                with archive.open(entry) as source, open(final, "wb") as file:
                    shutil.copyfileobj(source, file)
    except zipfile.BadZipFile as error:
        raise StepError(f"{name} is no wheel: {error}", "build/wheels may be damaged: remove it") from None


def place_of(entry: str) -> str | None:
    """Return where an entry of a wheel belongs below site-packages, or None where it is left out."""
    top, _, rest = entry.partition("/")
    if not top.endswith(".data"):
        return entry
    part, _, below = rest.partition("/")
    if part in INTO_SITE:
        return below
    if part in LEFT_OUT:
        return None
    raise StepError(f"{entry}: a wheel's part {part!r} is not known")


def last_lines(text: str, most: int = 10) -> list[str]:
    """Return the last lines of what a program said."""
    return text.strip().splitlines()[-most:]
