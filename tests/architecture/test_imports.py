"""Imports go one way: cli -> relay, client, admin -> protocol, backends.base, config -> errors."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, module_name, python_files

BASICS = {"encoded", "errors", "printable", "events", "logs"}
CORE = BASICS | {"durable", "protocol", "config", "backends.base", "link"}
# What each part of the package may import of the others, besides itself and the version. A part is a folder, or a
# module at the top. `backends.base` is the contract alone, `backends` the concrete ones.
ALLOWED = {
    "errors": {"printable"},
    "printable": set(),
    "durable": set(),
    "encoded": set(),
    "pcapng": set(),
    "events": set(),
    "logs": {"printable"},
    "journal": {"logs"},
    "log_output": {"journal", "logs"},
    "audit": {"backends.base", "events", "logs"},
    "protocol": {"errors", "printable"},
    "backends.base": {"errors"},
    "backends": {"backends.base", "durable", "errors", "printable", "protocol"},
    "config": {"errors", "printable", "protocol", "backends.base"},
    "link": CORE,
    "relay": CORE,
    "client": CORE,
    "admin": BASICS | {"backends.base"},
    "ops": {"durable", "errors", "printable", "protocol", "config", "backends.base", "ops.handbook"},
    "ops.handbook": {"errors", "config", "cli", "ops"},  # tells of the commands what they tell themselves
    "web": CORE | {"admin"},
    "web.__main__": CORE | {"admin", "audit", "log_output", "backends", "cli", "web"},  # a program of its own
    "cli": CORE | {"audit", "log_output", "backends", "relay", "client", "admin", "pcapng"},
    "__main__": {"cli"},
    "": set(),
}
# protocol/ is sans-I/O: bytes and `now` in, bytes and events out.
PURE = {
    "__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "copy", "cryptography", "dataclasses",
    "enum", "functools", "hashlib", "hmac", "heapq", "io", "ipaddress", "itertools", "json", "math", "operator", "re",
    "string", "struct", "typing", "rustun",
}  # fmt: skip
# What the runtime may import from elsewhere; every entry costs memory in a process that runs as root.
RUNTIME_PACKAGES = {"click", "cryptography", "pyroute2", "rich", "rustun"}
WEB_PACKAGES = {"aiohttp", "prometheus_client"}  # the web process is another one, and optional


def part_of(module: str) -> str:
    """Return the part that a module of the package belongs to."""
    names = module.split(".")[1:]
    if names[:2] in (["backends", "base"], ["web", "__main__"], ["ops", "handbook"]):
        return ".".join(names[:2])
    return names[0] if names else ""


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full module name of everything a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the full name"
            assert node.module is not None
            if node.module in ("rustun", "rustun.backends"):
                for alias in node.names:
                    yield node.lineno, f"{node.module}.{alias.name}"
            else:
                yield node.lineno, node.module


OPS_FILES = python_files("rustun/ops")


@pytest.mark.parametrize("path", OPS_FILES, ids=module_name)
def test_the_toolkit_knows_of_the_laboratory_only_how_links_are_written(path: Path) -> None:
    """An inventory could not be read without scapy and namespaces; and the laboratory is made from the toolkit."""
    for line, module in imports(path):
        known = module.split(".")[0] != "netlab" or module == "netlab.links.impairment"
        assert known, f"{path.relative_to(ROOT)}:{line}: imports {module}"


STARTERS = ("os.fork", "os.posix_spawn", "os.spawn", "os.exec")  # of processes
STARTING = ("rustun.backends.nft", "rustun.backends.own_program", "rustun.backends.programs")
RUNTIME_FILES = [path for path in python_files("rustun") if path not in OPS_FILES]


@pytest.mark.parametrize("path", python_files("rustun"), ids=module_name)
def test_no_import_against_the_direction(path: Path) -> None:
    """A part that imports upwards cannot be read, tested or replaced by itself any more."""
    importer = part_of(module_name(path))
    assert importer in ALLOWED, f"{path}: a new part; say in this test what it may import"
    for line, module in imports(path):
        if module.split(".")[0] == "rustun":
            imported = part_of(module)
            allowed = imported in (importer, "", "__version__") or imported in ALLOWED[importer]
            assert allowed, f"{path.relative_to(ROOT)}:{line}: {importer} may not import {module}"


@pytest.mark.parametrize("path", python_files("rustun/protocol"), ids=module_name)
def test_protocol_is_sans_io(path: Path) -> None:
    """A core that reads a socket, clock, file or random source cannot be replayed from bytes and times."""
    for line, module in imports(path):
        assert module.split(".")[0] in PURE, f"{path.relative_to(ROOT)}:{line}: protocol/ may not import {module}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input"), f"{path.relative_to(ROOT)}:{node.lineno}: does I/O"


@pytest.mark.parametrize("path", RUNTIME_FILES, ids=module_name)
def test_runtime_imports_only_its_dependencies(path: Path) -> None:
    """An undeclared package would be missing from a fresh install; a toolkit package would run as root."""
    for line, module in imports(path):
        top = module.split(".")[0]
        is_web = part_of(module_name(path)).partition(".")[0] == "web"
        known = top in sys.stdlib_module_names or top in RUNTIME_PACKAGES | (WEB_PACKAGES if is_web else set())
        assert known, f"{path.relative_to(ROOT)}:{line}: the runtime may not import {module}"
        words = "asyncio costs 10 MB per process; use the Reactor"
        assert top != "asyncio" or is_web, f"{path.relative_to(ROOT)}:{line}: {words}"
        for name in ("rustun.ops", "netlab", "tests"):
            assert not f"{module}.".startswith(f"{name}."), f"{path.relative_to(ROOT)}:{line}: imports {name}"


@pytest.mark.parametrize("path", RUNTIME_FILES, ids=module_name)
def test_the_runtime_starts_no_process(path: Path) -> None:
    """A child that only forks holds every key of its parent, and every socket.

    `nft` and our own web process are run as programs (exec), without memory, sockets or environment of ours: their own
    modules may do that. So is what a bug report looks with, by a command that ends.
    """
    modules = {"subprocess", "multiprocessing", "pty", "concurrent.futures.process"}
    for line, module in imports(path):
        allowed = module == "subprocess" and module_name(path) in STARTING
        assert allowed or module not in modules, f"{path.relative_to(ROOT)}:{line}: imports {module}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            starts = name in ("os.system", "os.popen") or name.startswith(STARTERS)
            assert not starts, f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
