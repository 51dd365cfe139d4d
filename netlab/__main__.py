"""`python -m netlab COMMAND`: what stands behind the tasks demo, bench and lab-*."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain, count
from pathlib import Path

from netlab.ending import code_of
from netlab.errors import EXIT_OK, EnvironmentLacks
from netlab.processes import CHECKOUT

Run = Callable[[argparse.Namespace], int]


def _demo(arguments: argparse.Namespace) -> int:
    from netlab import demo
    from netlab.configuration import Choice, configure, load
    from netlab.namespaces import enter_own_world
    from netlab.sampling import need_room

    inventory, choice = load(arguments.inventory), Choice(arguments.limit)
    need_room(choice.of(inventory).inventory)
    configured = configure(arguments.inventory, inventory, arguments.build / inventory.name, choice)
    logs = fresh_logs(arguments.build, f"{inventory.name}-demo")
    return enter_own_world(_guarded(partial(demo.run, configured, logs, arguments.seconds, arguments.json)))


def _lab_demo(arguments: argparse.Namespace) -> int:
    from netlab.configuration import configure, load
    from netlab.demonstration import run
    from netlab.namespaces import enter_own_world

    inventory = load(arguments.inventory)
    out = arguments.out or arguments.build / "lab-demo"
    _make(out)
    configured = configure(arguments.inventory, inventory, out / inventory.name)
    logs = fresh_logs(arguments.build, f"{inventory.name}-lab-demo")
    done = partial(run.run, configured, arguments.seed, out, logs, as_json=arguments.json)
    return enter_own_world(_guarded(done))


def _policy(arguments: argparse.Namespace) -> int:
    from netlab.configuration import configure, load
    from netlab.isolation import policy
    from netlab.namespaces import enter_own_world

    inventory = load(arguments.inventory)
    configured = configure(arguments.inventory, inventory, arguments.build / inventory.name)
    rehearsal = policy.rehearse(arguments.inventory, inventory, configured.spec)
    logs = fresh_logs(arguments.build, f"{inventory.name}-policy")
    return enter_own_world(_guarded(partial(policy.run, configured, rehearsal, logs, arguments.json)))


def _up(arguments: argparse.Namespace) -> int:
    from netlab.control import commands

    if arguments.machines:
        up = partial(commands.up_machines, arguments.inventory, arguments.name, arguments.build)
    else:
        up = partial(commands.up, arguments.inventory, arguments.name, arguments.build, arguments.limit)
        up = partial(up, matrix=arguments.matrix)
    return up(as_json=arguments.json)


def _keep(arguments: argparse.Namespace) -> int:
    import socket

    from netlab.configuration import Choice, configure, load
    from netlab.control import keeper, runfolder
    from netlab.machines import rehearsal
    from netlab.namespaces import enter_own_world

    control = socket.socket(fileno=arguments.control)
    events = os.fdopen(arguments.events, "w")
    folder = runfolder.RunFolder(arguments.folder)
    inventory = load(arguments.inventory)
    logs = fresh_logs(arguments.build, folder.name)
    folder.claim(arguments.inventory, logs)
    if arguments.machines:
        return enter_own_world(_guarded(partial(rehearsal.keep, inventory, logs, control, events)))
    choice = Choice(arguments.limit, arguments.combination)
    configured = configure(arguments.inventory, inventory, arguments.build / inventory.name, choice)
    as_user = os.geteuid() != 0
    kept = partial(keeper.keep_laboratory, configured, choice, logs, control, events, as_user=as_user)
    return enter_own_world(_guarded(kept))


def _status(arguments: argparse.Namespace) -> int:
    from netlab.control import status

    return status.run(arguments.name, as_json=arguments.json)


def _exec(arguments: argparse.Namespace) -> int:
    from netlab.control import execute

    return execute.run(arguments.name, arguments.nodes, arguments.command, as_json=arguments.json)


def _doctor(arguments: argparse.Namespace) -> int:
    from netlab.control import doctor

    return doctor.run(as_json=arguments.json)


def _run(arguments: argparse.Namespace) -> int:
    from netlab.scenarios import catalogue, command

    if arguments.list:
        return command.show_list(as_json=arguments.json)
    chosen = catalogue.chosen(arguments.names)
    return command.run_all(chosen, fresh_logs(arguments.build, "scenarios"), as_json=arguments.json)


def _down(arguments: argparse.Namespace) -> int:
    from netlab.control import commands

    return commands.down(arguments.name, as_json=arguments.json)


def _sweep(arguments: argparse.Namespace) -> int:
    from netlab.control import commands

    return commands.sweep(as_json=arguments.json)


def _bench(arguments: argparse.Namespace) -> int:
    from netlab.bench import run as bench
    from netlab.namespaces import enter_own_world

    order = bench.Order(
        bench.rows_named(arguments.only, quick=arguments.quick),
        bench.asked(quick=arguments.quick, repetitions=arguments.repetitions, seconds=arguments.seconds),
        json_file=arguments.json,
        markdown_file=arguments.markdown,
        html_file=arguments.html,
        resume=arguments.resume,
        profile=arguments.profile,
    )
    begun = bench.begin(order, bench.equip(order.rows))
    logs = fresh_logs(arguments.build, "bench")
    return enter_own_world(_guarded(partial(bench.run, order, begun, arguments.build, logs)))


def _bench_compare(arguments: argparse.Namespace) -> int:
    from netlab.bench import compare

    return compare.run(arguments.before, arguments.after, everything=arguments.all, as_json=arguments.json)


def _bench_report(arguments: argparse.Namespace) -> int:
    from netlab.bench import document, run

    found = document.read(arguments.file)
    rows = [row for row in run.rows_named("") if row.name in found.rows]
    run.tell(rows, found, arguments.markdown, arguments.html)
    return EXIT_OK


def fresh_logs(build: Path, name: str) -> Path:
    """Return an empty folder for a laboratory's logs, this process's own while it lives.

    Where somebody else's are being written there, it is NAME-2, and so on.
    """
    folders = (build / "logs" / f"{name}{suffix}" for suffix in chain([""], (f"-{number}" for number in count(2))))
    while True:
        folder = next(folders)
        _make(folder)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        _clear(folder)
        return folder


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Make a folder that may be there. Raises EnvironmentLacks where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentLacks(f"{folder}: {error.strerror}", "name a folder that this user may write to") from error
    if not os.access(folder, os.W_OK):
        raise EnvironmentLacks(f"{folder}: cannot be written", "name a folder that this user may write to")


def _guarded(run: Callable[[], int]) -> Callable[[], int]:
    """Give `run` one way to end, also where it is a forked child's: an exit code, and words."""
    return partial(code_of, "lab", run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="netlab", description="The laboratory of network namespaces.")
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Run) -> argparse.ArgumentParser:
        added = commands.add_parser(name)
        added.set_defaults(run=run)
        return added

    for name, run in (("demo", _demo), ("lab-demo", _lab_demo), ("policy", _policy), ("up", _up), ("keep", _keep)):
        command(name, run).add_argument("--inventory", type=Path, required=True)
    demo, lab_demo, policy, up, keep = (commands.choices[n] for n in ("demo", "lab-demo", "policy", "up", "keep"))
    demo.add_argument("--seconds", type=float, default=2.0)
    lab_demo.add_argument("--seed", type=int, default=1)
    lab_demo.add_argument("--out", type=Path)
    for printing in (demo, lab_demo, policy, up, command("sweep", _sweep)):
        printing.add_argument("--json", action="store_true")
    up.add_argument("--name", default="")
    for staying in (up, keep):
        staying.add_argument("--machines", action="store_true")
    for sampled in (demo, up, keep):
        sampled.add_argument("--limit", default="")
    up.add_argument("--matrix", action="store_true")
    keep.add_argument("--combination", default="")
    keep.add_argument("--folder", type=Path, required=True)
    keep.add_argument("--control", type=int, required=True)
    keep.add_argument("--events", type=int, required=True)
    for name, run in (("status", _status), ("exec", _exec), ("down", _down)):
        command(name, run).add_argument("--name", default="")
        commands.choices[name].add_argument("--json", action="store_true")
    commands.choices["exec"].add_argument("nodes")
    commands.choices["exec"].add_argument("command", nargs="+")
    command("doctor", _doctor).add_argument("--json", action="store_true")
    playing = command("run", _run)
    playing.add_argument("names")
    for flag in ("--list", "--json"):
        playing.add_argument(flag, action="store_true")
    bench = _add_bench(command)
    for generating in (demo, lab_demo, policy, up, keep, playing, bench):
        generating.add_argument("--build", type=Path, default=CHECKOUT / "build", help="folder for what is generated")
    return parser


def _add_bench(command: Callable[[str, Run], argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the commands that measure, and return the one that generates files for it."""
    bench = command("bench", _bench)
    bench.add_argument("--quick", action="store_true")
    bench.add_argument("--only", default="")
    bench.add_argument("--seconds", type=float, default=0.0)
    bench.add_argument("--repetitions", type=int, default=0)
    bench.add_argument("--json", type=Path)
    for flag in ("--resume", "--profile"):
        bench.add_argument(flag, action="store_true")
    compare, report = command("bench-compare", _bench_compare), command("bench-report", _bench_report)
    for file in ("before", "after"):
        compare.add_argument(file, type=Path)
    for flag in ("--all", "--json"):
        compare.add_argument(flag, action="store_true")
    report.add_argument("file", type=Path)
    for telling in (bench, report):
        telling.add_argument("--markdown", type=Path)
        telling.add_argument("--html", type=Path)
    return bench


def main() -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args()
    os.umask(0o077)
    return _guarded(partial(arguments.run, arguments))()


if __name__ == "__main__":
    sys.exit(main() or EXIT_OK)
