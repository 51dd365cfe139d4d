"""Tasks of the bench: measure, tell again, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from invoke import Context

from rustun.ops.tasks.arguments import JSON_HELP, end, new_file, number, task

MARKDOWN_HELP: Final = "write the tables to this file as well, as they stand in docs/performance.md"
HTML_HELP: Final = "write a page with plots of every sample to this file as well; it reads without network"


@task(
    help={
        "quick": "some rows, once and shortly: a first impression, not a figure to publish",
        "only": "rows to measure, by comma",
        "seconds": "length of each measurement (2)",
        "repetitions": "of each row (6, the fewest that a 95 % interval can be made of)",
        "json": "write all samples to this file as well, row by row",
        "resume": "go on with the file of --json where an interrupted run ended",
        "markdown": MARKDOWN_HELP,
        "html": HTML_HELP,
        "profile": "run each load once more under py-spy or perf, and put flame graphs into the page",
    }
)
def bench(
    _context: Context,
    quick: bool = False,
    only: str = "",
    seconds: str = "",
    repetitions: str = "",
    json: str = "",
    resume: bool = False,
    markdown: str = "",
    html: str = "",
    profile: bool = False,
) -> None:
    """Measure rustun beside plain routing and other tunnels on this machine; print tables with ratios.

    OpenVPN, wireguard-go and OpenSSH take part where they are installed; the first two are installed here as root.
    Who is left out is named, with the reason. Nothing is made in the machine's own network namespace.

    Examples:
        ./invoke bench --quick
        ./invoke bench --only tcp-1,ping --json bench.json
        ./invoke bench --json bench.json --html bench.html --markdown figures.md
        ./invoke bench --json bench.json --resume
        ./invoke bench --quick --only tcp-1 --profile --html bench.html
    """
    options = [*["--quick"] * quick, *["--resume"] * resume, *["--profile"] * profile, *["--only", only] * bool(only)]
    if seconds:
        options += ["--seconds", str(number("--seconds", seconds, 0.2, 3600))]
    if repetitions:
        options += ["--repetitions", str(int(number("--repetitions", repetitions, 1, 1000)))]
    for option, file in (("--json", json), ("--markdown", markdown), ("--html", html)):
        options += [option, str(Path(new_file(option, file)).absolute())] * bool(file)

    from netlab import api

    end(api.bench(*options))


@task(positional=["file"], help={"file": "what bench --json wrote", "markdown": MARKDOWN_HELP, "html": HTML_HELP})
def bench_report(_context: Context, file: str, markdown: str = "", html: str = "") -> None:
    """Print the tables of an earlier run again; write its Markdown and its page.

    Examples:
        ./invoke bench-report bench.json
        ./invoke bench-report bench.json --html bench.html
    """
    options = []
    for option, target in (("--markdown", markdown), ("--html", html)):
        options += [option, str(Path(new_file(option, target)).absolute())] * bool(target)

    from netlab import api

    end(api.bench_report(Path(file).absolute(), *options))


@task(
    positional=["before", "after"],
    help={
        "before": "what bench --json wrote, earlier",
        "after": "what it wrote now",
        "all": "show what is the same, too",
        "json": JSON_HELP,
    },
)
def bench_compare(_context: Context, before: str, after: str, all: bool = False, json: bool = False) -> None:
    """Say what became faster or slower from one run to another; a loss of more than a tenth ends with 5.

    A difference is called one only where the 95 % intervals of the medians part: six repetitions or more in both
    runs. Speeds are compared as ratios to plain routing of the same run, so the machine may have changed its mood.

    Examples:
        ./invoke bench-compare before.json after.json
        ./invoke bench-compare before.json after.json --all
        ./invoke bench-compare before.json after.json --json
    """
    from netlab import api

    end(api.bench_compare(Path(before).absolute(), Path(after).absolute(), everything=all, as_json=json))
