"""The far end (far/) as one text that a host's python3 runs, and how it is started there.

The host's python3 reads the text's length and the text from its standard input, runs it, and goes on with the
conversation on the same pipes. Nothing of it is written to the host's disk.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

PACKAGE: Final = "rustun.ops.deploy.far"
FOLDER: Final = Path(__file__).parent / "far"
ORDER: Final = ("system", "release", "facts", "services", "execution", "conversation")  # importers after imported
START: Final = "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
# As root; anybody else needs a sudo that asks for no password. The login shell may be any: it only starts `sh`.
SCRIPT: Final = f"if [ $(id -u) = 0 ]; then exec python3 -Iuc '{START}'; else exec sudo -n python3 -Iuc '{START}'; fi"
COMMAND: Final = f"exec sh -c {shlex.quote(SCRIPT)}"
TOO_OLD: Final = 'import sys; sys.version_info >= (3, 9) or sys.exit("python3 is older than 3.9")\n'


def bundle() -> bytes:
    """Return what is sent first: the length of the text in a line, and the text."""
    parts = [(f"{PACKAGE}.{name}", (FOLDER / f"{name}.py").read_text()) for name in ORDER]
    text = (
        f"{TOO_OLD}import types\n"
        f"for name, text in {parts!r}:\n"
        "    module = sys.modules[name] = types.ModuleType(name)\n"
        '    exec(compile(text, name.split(".", 2)[-1], "exec"), module.__dict__)\n'
        f'sys.modules["{PACKAGE}.conversation"].main()\n'
    ).encode()
    return b"%d\n%s" % (len(text), text)
