"""`rustun connect --dry-run` beside a real server: what it prints, and that the host stays as it was."""

from __future__ import annotations

import json
import signal
import subprocess

from netlab.worlds.host_picture import assert_same, host_picture, settle
from netlab.worlds.running import ENVIRONMENT, HANG_S, PORT, RUSTUN, SERVER, Site
from tests.netlab.private_namespace import in_private_namespace

ARGUMENTS = ["connect", "-s", f"{SERVER}:{PORT}", "-i", "m0", "--crypto-file", "key"]


def dry_run(site: Site, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return connect(site, "--dry-run", *options)


def connect(site: Site, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a client to its end."""
    command = [*RUSTUN, *ARGUMENTS, *options]
    return subprocess.run(
        command, cwd=site.folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=HANG_S, check=False
    )


@in_private_namespace
def test_it_tells_what_a_client_would_do_and_does_nothing() -> None:
    """If this fails, an administrator who wants to see first has changed his host already, or sees something else."""
    with Site() as site:
        site.write_members("10.98.0.0/16", "203.0.113.0/24", "192.168.2.0/24")
        site.serve()
        settle()
        before = host_picture()
        done = dry_run(site)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert any(line.startswith("ip address add 10.0.1.1/24 dev rustun0") for line in lines), done.stdout
        [pin] = [line for line in lines if f"{SERVER} " in line or f"{SERVER}/32" in line]
        assert "via 192.168.1.1" in pin
        assert lines.index(pin) < next(at for at, line in enumerate(lines) if "203.0.113.0/24" in line)
        refused, reason = "192.168.2.0/24", "is directly connected at eth1"
        assert lines[-1] == f"# {refused} is not routed into the tunnel: {reason}"
        facts = json.loads(dry_run(site, "--json").stdout)
        assert "\n".join((*facts["commands"], lines[-1])) + "\n" == done.stdout
        assert (facts["refused_routes"], facts["warnings"]) == ({refused: reason}, [])
        assert_same(before, host_picture())


@in_private_namespace
def test_it_takes_nobodys_place() -> None:
    """If this fails, who looks at what a running client does, or starts another by hand, throws that client out."""
    with Site() as site:
        site.write_members()
        site.serve()
        client = site.connect()
        client.until_online()
        reconnects = client.status()["reconnects"]
        there = ["--control", str(site.folder / "client.sock")]
        for done in dry_run(site, *there), connect(site, *there, "--tun", "other0"):
            assert (done.returncode, done.stdout) == (1, "")
            assert '"m0" runs on this host already' in done.stderr
        assert (client.status()["state"], client.status()["reconnects"]) == ("online", reconnects)
        assert client.end(signal.SIGTERM) == 0


@in_private_namespace
def test_without_a_server_it_ends_in_words() -> None:
    """If this fails, a dry run hangs, or prints steps that nobody told."""
    with Site() as site:
        site.write_members()
        process = subprocess.Popen(
            [*RUSTUN, *ARGUMENTS, "--dry-run"], cwd=site.folder, env=ENVIRONMENT, stdout=-1, stderr=-1, text=True
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "cannot connect" in line, line
        process.send_signal(signal.SIGINT)
        said, log = process.communicate(timeout=HANG_S)
        assert (process.returncode, said) == (1, "")
        assert "stopped before a server told its part" in log
