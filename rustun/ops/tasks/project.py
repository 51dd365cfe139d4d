"""Tasks on the checkout itself: tests, style, long runs, pinned versions."""

from __future__ import annotations

from invoke import Context

from rustun.ops.tasks.arguments import ROOT, end, number, task


@task(help={"only": "parts to run, by comma: see --parts", "parts": "list the parts and end", "workers": "at once (2)"})
def test(_context: Context, only: str = "", parts: bool = False, workers: str = "2") -> None:
    """Run everything: lint, types, unit, vector, fuzz, simulation, architecture and namespace tests.

    What came of it goes to build/test-report/: summary.md, report.json, junit.xml, and below failures/ what red
    namespace tests have left. Ends with 5 where something failed.

    Examples:
        ./invoke test
        ./invoke test --only unit,fuzz
    """
    processes = int(number("--workers", workers, 1, 64))

    from rustun.ops import checks

    end(checks.list_parts() if parts else checks.run_parts(ROOT, only, processes, checks.REPORT))


@task
def style(_context: Context) -> None:
    """Check style and types (ruff, mypy).

    Examples:
        ./invoke style
    """
    from rustun.ops import checks

    end(checks.run_parts(ROOT, "lint,types", 1))


@task(
    help={
        "only": "runs to do, by comma (default: all that have not passed since the code changed)",
        "minutes": "stop starting new runs after this time (60)",
        "again": "forget earlier results",
    }
)
def soak(_context: Context, only: str = "", minutes: str = "60", again: bool = False) -> None:
    """Do the long runs, one after another; what was done before an interruption is not done again.

    The result of each goes to build/soak.json.

    Examples:
        ./invoke soak
        ./invoke soak --minutes 10 --only fuzz
    """
    limit = int(number("--minutes", minutes, 0, 10_000))

    from rustun.ops import soaking

    end(soaking.run(ROOT, only, limit, again=again))


@task(help={"check": "write nothing; exit 3 when the file is not current"})
def schema(_context: Context, check: bool = False) -> None:
    """Make inventory/inventory.schema.json, by which editors complete and check an inventory.

    Examples:
        ./invoke schema
        ./invoke schema --check
    """
    from rustun.ops import schema as making

    end(making.run(ROOT, check=check))


@task(
    help={
        "serve": "show the site at http://127.0.0.1:PORT/ afterwards, until ctrl-C",
        "port": "of --serve (8000)",
    }
)
def docs(_context: Context, serve: bool = False, port: str = "8000") -> None:
    """Build the documentation: the site, man pages and shell completion, in build/docs/.

    A warning ends it with 5: a link that leads nowhere, a key or a command that nobody explained.

    Examples:
        ./invoke docs
        ./invoke docs --serve
    """
    at = int(number("--port", port, 1, 65535))

    import tasks
    from rustun.ops.handbook import building

    end(building.run(ROOT, tasks.namespace, at if serve else 0))


@task(help={"upgrade": "take the newest versions instead of those pinned so far"})
def lock(_context: Context, upgrade: bool = False) -> None:
    """Make requirements.lock anew from pyproject.toml (needs a package index).

    Examples:
        ./invoke lock
        ./invoke lock --upgrade
    """
    from rustun.ops import lockfile

    end(lockfile.run(ROOT, upgrade=upgrade))
