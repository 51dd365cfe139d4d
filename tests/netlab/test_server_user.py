"""`[server_config] user`: what a server that root started is afterwards, and what it can still do."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from netlab import kernel
from netlab.namespaces import NetworkNamespace
from netlab.worlds.running import ENVIRONMENT, HANG_S, KEY, RUSTUN, SERVER, Running, Site
from rustun.backends.capabilities import permitted_capabilities
from rustun.backends.rights import Account, acting_as, find_account, give_up
from rustun.errors import RightsError
from tests.netlab.accounts import ID, NAME, OTHER, add_account
from tests.netlab.private_namespace import in_private_namespace

SERVER_TOML = f"""
[server_config]
listen_addr = "{SERVER}:81"
user = "{NAME}"
[crypto_config]
chacha20poly1305_file = "shared.key"
[route_config]
routes_file = "routes.json"
"""
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def facts(process: int) -> dict[str, list[str]]:
    """Return what /proc says of a process, by name."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def run(*arguments: str, user: int | None = None) -> tuple[int, list[str]]:
    """Run rustun to its end; return exit code and what it said."""
    done = subprocess.run(
        [*RUSTUN, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_S,
        check=False,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    assert "Traceback" not in done.stdout, done.stdout
    return done.returncode, done.stdout.splitlines()


def open_files(process: int) -> Iterator[tuple[str, int]]:
    """Yield number and flags of every descriptor."""
    for entry in Path(f"/proc/{process}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed since: the answer to a question about its status
            [flags] = re.findall(r"^flags:\s*(\d+)$", entry.read_text(), re.MULTILINE)
            yield entry.name, int(flags, 8)


@contextmanager
def a_site() -> Iterator[Site]:
    """A site whose server has files of its user, and is started in /run/rustun, which root made earlier."""
    add_account()
    with Site() as site:
        os.umask(0o022)
        write_members(site.folder, "m0")
        (site.folder / "server.toml").write_text(SERVER_TOML)
        write_key(site.folder / "shared.key", ID)
        site.folder.chmod(0o755)
        Path("/run/rustun").mkdir()
        yield site


def write_members(folder: Path, *identities: str) -> None:
    members = [
        {"cluster": "beijing", "identity": identity, "private_ip": f"10.0.1.{number}", "mask": "255.255.255.0"}
        for number, identity in enumerate(identities, start=1)
    ]
    (folder / "routes.json").write_text(json.dumps(members))


def write_key(path: Path, owner: int) -> None:
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    os.chown(path, owner, owner)


def serve(site: Site, at: NetworkNamespace) -> Running:
    return Running("server", Path("/run/rustun"), ["serve", str(site.folder / "server.toml")], at)


@in_private_namespace
def test_a_server_becomes_its_user_and_works() -> None:
    """A hole in the server is a hole in the host; or one that gave up root cannot bind, reload, answer or tidy up."""
    with a_site() as site:
        server = serve(site, site.far)
        try:
            server.until_logged(f"runs as {NAME} (uid {ID}) without any capability, for good")
            found = facts(server.process.pid)
            assert (found["Uid"], found["Gid"]) == ([str(ID)] * 4, [str(ID)] * 4)
            assert found["Groups"] == [str(ID), str(ID + 1)]
            assert {name: int(found[name][0], 16) for name in CAPABILITY_SETS} == dict.fromkeys(CAPABILITY_SETS, 0)
            assert (found["NoNewPrivs"], found["Threads"]) == (["1"], ["1"])
            assert Path(f"/proc/{server.process.pid}/environ").stat().st_uid == 0  # not dumpable: proc(5)
            client = site.connect("-s", f"{SERVER}:81")
            client.until_online()
            write_members(site.folder, "m0", "m1")
            server.until(lambda status: status["members"] == 2)
            (site.folder / "routes.json").chmod(0)
            server.process.send_signal(signal.SIGHUP)
            server.until_logged(f"user {NAME} may not read it; run: sudo chgrp {NAME} ")
            server.until_logged("server.toml are in force")
            assert facts(client.process.pid)["NoNewPrivs"] == ["1"]
            socket = Path("/run/rustun/server.sock").stat()
            assert (socket.st_uid, socket.st_gid, socket.st_mode & 0o777) == (ID, ID, 0o660)
            assert Path("/run/rustun").stat().st_mode & 0o7777 == 0o3775
            assert server.end(signal.SIGTERM) == 0, server.log
            assert not Path("/run/rustun/server.sock").exists()
        finally:
            server.kill()


@in_private_namespace
def test_nothing_is_handed_on() -> None:
    """Another process holds a copy of the keys, or inherits sockets and device."""
    with a_site() as site:
        server = serve(site, site.far)
        try:
            client = site.connect("-s", f"{SERVER}:81")
            client.until_online()
            for process in (server.process.pid, client.process.pid):
                tasks = Path(f"/proc/{process}/task").iterdir()
                assert [(task / "children").read_text() for task in tasks] == [""]
                assert all(name in "012" or flags & os.O_CLOEXEC for name, flags in open_files(process)), process
        finally:
            server.kill()


@in_private_namespace
def test_the_commands_that_are_said_mend_it() -> None:
    """Neither `check` nor the start says what the user may not read, or the command that is said does not help."""
    with a_site() as site:
        private, members = site.folder / "private", site.folder / "private" / "routes.json"
        private.mkdir()
        (site.folder / "routes.json").rename(members)
        text = SERVER_TOML.replace('"routes.json"', f'"{members}"')
        (site.folder / "server.toml").write_text(text.replace('"shared.key"', '"private/shared.key"'))
        write_key(private / "shared.key", 0)
        for path, mode in ((members, 0o600), (site.folder / "server.toml", 0o640), (private, 0o700)):
            path.chmod(mode)
        said = []
        while (ended := run("check", str(site.folder / "server.toml")))[0] != 0:
            refused = run("serve", str(site.folder / "server.toml"), "--control", "/run/rustun/s.sock")
            assert refused[0] == 78, (refused, ended)
            commands = [line.strip().removeprefix("run: ") for line in ended[1] if "run: " in line]
            assert commands and commands[0] not in said, ended
            said += commands
            for command in commands:
                subprocess.run(["sh", "-c", command.replace("sudo ", "")], check=True)
        assert sorted(set(said)) == sorted(
            [
                f"sudo chgrp {NAME} {site.folder / 'server.toml'} && sudo chmod g+r {site.folder / 'server.toml'}",
                f"sudo chgrp {NAME} {private} && sudo chmod g+x {private}",
                f"sudo chown {NAME} {private / 'shared.key'}",
                f"sudo chgrp {NAME} {members} && sudo chmod g+r {members}",
            ]
        )
        server = serve(site, site.far)
        try:
            assert server.status()["members"] == 1
        finally:
            server.kill()


@in_private_namespace
def test_a_user_namespace_with_one_id() -> None:
    """A server in a container without other ids does not start, or keeps root's capabilities there."""
    with a_site() as site:
        os.chown(site.folder / "shared.key", 0, 0)
        site.folder.chmod(0o700)
        while len(list(Path("/proc/self/task").iterdir())) > 1:  # a thread that was joined may still be ending
            os.sched_yield()
        kernel.unshare(kernel.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
            Path(f"/proc/self/{name}").write_text(text)
        (site.folder / "server.toml").write_text(SERVER_TOML.replace(SERVER, "127.0.0.1"))
        kernel.unshare(kernel.CLONE_NEWNET)
        os.chdir(site.folder)
        server = Running("server", site.folder, ["serve"])
        try:
            server.until_logged(f"dropped all capabilities; this user namespace has no id for {NAME}")
            found = facts(server.process.pid)
            assert {name: int(found[name][0], 16) for name in CAPABILITY_SETS} == dict.fromkeys(CAPABILITY_SETS, 0)
            assert server.end(signal.SIGTERM) == 0, server.log
        finally:
            server.kill()


@in_private_namespace
def test_half_a_change_is_found_out() -> None:
    """A server goes on that is root in one of its ids, from which the others come back."""
    add_account()
    account = find_account(NAME)
    with pytest.raises(RightsError, match="only half"):
        in_child(lambda: give_up(account))
    with pytest.raises(RightsError, match="only half"):
        in_child(lambda: give_up_as(ID, account))


@in_private_namespace
def test_groups_of_others_are_not_kept() -> None:
    """A server that says it is an ordinary user reads what root's group, or the logs' readers, may read."""
    add_account()
    account = find_account(NAME)

    def give_up_in(gid: int, *groups: int) -> None:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(ID, ID, ID)
        give_up(account)

    for gid, group in ((0, ID), (ID, 4), (ID, 0)):
        with pytest.raises(RightsError, match="groups that are not its own"):
            in_child(partial(give_up_in, gid, group))
    in_child(lambda: give_up_in(ID, ID, ID + 1))


@in_private_namespace
def test_acting_as_another_ends() -> None:
    """`rustun check` judges the next file as the user of the one before, or this user's files as root would."""
    add_account()
    before = os.getresuid(), os.getresgid(), os.getgroups(), permitted_capabilities()
    with TemporaryDirectory() as folder:
        shut = Path(folder)
        with acting_as(find_account(NAME)):
            assert not os.access(shut, os.X_OK, effective_ids=True)
            assert os.getgroups() == [ID, ID + 1]
        with pytest.raises(ZeroDivisionError), acting_as(find_account(NAME)):
            shut.stat(follow_symlinks=bool(1 / 0))
    assert (os.getresuid(), os.getresgid(), os.getgroups(), permitted_capabilities()) == before


def give_up_as(effective: int, account: Account) -> None:
    os.seteuid(effective)
    give_up(account)


def in_child(work: Callable[[], object]) -> None:
    """Do what cannot be undone in a process of its own; raise what it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work()
        except RightsError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as words:
        said = words.read()
    os.waitpid(child, 0)
    if said:
        raise RightsError(said)


@in_private_namespace
def test_who_is_neither_root_nor_the_user() -> None:
    """A server that cannot become its user runs as somebody else, who can read what it must not."""
    with a_site() as site:
        code, said = run("serve", str(site.folder / "server.toml"), user=OTHER)
        assert (code, said) == (
            77,
            [
                f'rustun serve: this process runs as user {OTHER} and cannot become "{NAME}", which server.toml names',
                f"  start it as root or as {NAME}, or take user out of [server_config]",
            ],
        )
        code, said = run("check", str(site.folder / "server.toml"), user=OTHER)
        assert code == 78
        assert f"only root and {NAME} can tell whether the server may read its keys and members" in said[0]
        assert said[1] == f"  run: sudo rustun check {shlex.quote(str(site.folder / 'server.toml'))}"
        (site.folder / "etc").mkdir(mode=0o700)
        os.chdir(site.folder)
        (site.folder / "server.toml").unlink()
        code, said = run("serve", user=OTHER)
        assert (code, said[0]) == (78, f"etc/server.toml: user {OTHER} may not read it")
