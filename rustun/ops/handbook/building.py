"""`./invoke docs`: docs/ and what is generated beside it -> a site, man pages and shell completion, in build/docs/.

Rules of this module
  1. The sources stay as they are: Sphinx reads a copy of docs/, in which the generated pages stand beside the others.
  2. A warning is an error: a link that leads nowhere, a page that no list leads to, a heading out of order.
  3. What is installed with the program stands below share/, as it does below a prefix: man pages, completion.
"""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from invoke import Collection

from rustun.cli.commands import SHELLS, completion_script, main
from rustun.ops.exit_codes import BAD_INPUT, ENVIRONMENT, FAILED, OK
from rustun.ops.handbook.commands import command_pages
from rustun.ops.handbook.keys import key_pages
from rustun.ops.handbook.pages import Page
from rustun.ops.handbook.toolkit import tasks_page

OUT: Final = Path("build", "docs")
NEEDED: Final = ("sphinx", "myst_parser", "furo")
MANUALS: Final = "manuals.json"  # what docs/conf.py makes man pages of
COMPLETION: Final = {  # of each shell, where it looks below a prefix
    "bash": "bash-completion/completions/rustun",
    "zsh": "zsh/site-functions/_rustun",
    "fish": "fish/vendor_completions.d/rustun.fish",
}


def run(checkout: Path, namespace: Collection, port: int = 0) -> int:
    """Build everything of a checkout; return 0, 2 where a page cannot be made, 4 without Sphinx, 5 where it warns.

    Args:
        namespace: of the tasks.
        port: TCP port of 127.0.0.1 to show the site at afterwards, until ctrl-C; 0: not at all.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        what = f"docs: {', '.join(missing)} is not installed here"
        print(f"{what}\n  pip install -e '.[docs]', or let ./invoke make .venv anew", file=sys.stderr)
        return ENVIRONMENT
    try:
        pages = generated(checkout / "docs", namespace)
    except ValueError as error:
        print(f"docs: {error}\n  write it into docs/configuration.md", file=sys.stderr)
        return BAD_INPUT
    out = checkout / OUT
    stage(checkout / "docs", out / "source", pages)
    for builder, target in (("html", out / "html"), ("man", out / "share" / "man")):
        shutil.rmtree(target, ignore_errors=True)
        if not _sphinx(builder, out / "source", target, out / "doctrees"):
            return FAILED
    write_completion(out / "share")
    manuals = sum(1 for page in pages if page.section)
    print(f"docs: {OUT / 'html' / 'index.html'}, {manuals} man pages and completion in {OUT / 'share'}", flush=True)
    return _serve(out / "html", port) if port else OK


def generated(docs: Path, namespace: Collection) -> list[Page]:
    """Return all generated pages. Raises: ValueError: the documents leave out something that the code has."""
    return [*command_pages(main, "rustun"), tasks_page(namespace), *key_pages(docs)]


def stage(docs: Path, source: Path, pages: list[Page]) -> None:
    """Put a copy of the documents and the generated pages into a folder, in the place of what was there."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(docs, source, ignore=shutil.ignore_patterns("__pycache__"))
    for page in pages:
        (source / f"{page.name}.md").write_text(page.text)
    authors: list[str] = []
    manuals = [(page.name, page.title, page.summary, authors, page.section) for page in pages if page.section]
    (source / MANUALS).write_text(json.dumps(manuals))


def write_completion(share: Path) -> None:
    """Write the completion script of each shell to where it looks for it below a prefix."""
    for shell in SHELLS:
        file = share / COMPLETION[shell]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(completion_script(shell))


def _sphinx(builder: str, source: Path, target: Path, doctrees: Path) -> bool:
    """Run one of Sphinx's builders; return whether it had nothing to warn of."""
    options = ["--quiet", "--fail-on-warning", "--builder", builder, "--doctree-dir", str(doctrees)]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(target)]
    return subprocess.run(command, check=False).returncode == 0


def _serve(folder: Path, port: int) -> int:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"docs: http://127.0.0.1:{port}/ until ctrl-C", flush=True)
        server.serve_forever()
    return OK
