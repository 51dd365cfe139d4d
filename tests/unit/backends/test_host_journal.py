"""The journal: what is written comes back, in this boot and namespace only, and no content ends a start."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from rustun.backends import host_journal
from rustun.backends.forwarding import Change
from rustun.backends.host_journal import NOTHING, HeldError, HostJournal, Kept, devices
from rustun.errors import HostError

KEPT = Kept(
    pins=frozenset({ip_network("203.0.113.7/32"), ip_network("2001:db8::7/128")}),
    settings=(Change("net/ipv4/conf/eth0.100/forwarding", "0", "1"),),
    hosts=True,
    hosts_write=("127.0.0.1 localhost\n\udcff", "127.0.0.1 localhost\n"),
    table=True,
    kill_switch=True,
)


def journal(folder: Path, device: str = "rustun0") -> HostJournal:
    return HostJournal(folder, device)


def written(folder: Path, kept: Kept = KEPT) -> Path:
    """Leave a journal as a dead client does."""
    one = journal(folder)
    one.write(kept)
    one.close()
    return folder / "host-rustun0.json"


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    """If this fails, what a killed client changed is not restored."""
    written(tmp_path)
    found = journal(tmp_path)
    assert (found.kept, found.warnings, found.problem) == (KEPT, (), None)
    found.write(NOTHING)
    assert devices(tmp_path) == []
    found.close()
    found.close()


def test_one_client_for_each_journal(tmp_path: Path) -> None:
    """If this fails, `rustun cleanup` or a second client takes away what a running one needs."""
    first = journal(tmp_path)
    second = journal(tmp_path)
    assert isinstance(second.problem, HeldError)
    assert "--state-dir" in second.problem.remedy
    with pytest.raises(HostError, match="running client"):
        second.write(KEPT)
    second.put(KEPT)
    assert second.kept == KEPT
    assert devices(tmp_path) == []
    first.close()
    assert journal(tmp_path).problem is None


def test_another_boot_or_namespace_speaks_of_the_hosts_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a start after a power cut sets what an earlier life of this host, or another container, had."""
    written(tmp_path)
    for here in (("another boot", host_journal._here()[1]), (host_journal._here()[0], 0)):
        with monkeypatch.context() as patch:
            patch.setattr(host_journal, "_here", lambda here=here: here)
            found = journal(tmp_path)
            assert found.kept == Kept(hosts=True, hosts_write=KEPT.hosts_write)
            found.close()


GOOD = '{"schema": 1, "boot_id": "", "namespace": 0, "pins": [], "settings": [], "hosts": false, "hosts_write": null'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe{}",
        b"[1, 2]",
        b"null",
        b'{"schema": 2}',
        b"[" * 100_000,
        b'{"schema": 1}',
        GOOD.replace("false", '"yes"').encode() + b', "table": true, "kill_switch": true}',
        GOOD.replace("null", '{"before": 1, "after": ""}').encode() + b', "table": true, "kill_switch": true}',
        json.dumps(GOOD).encode(),
    ],
)
def test_a_journal_that_cannot_be_read_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """If this fails, one bad file keeps a host off its network until somebody finds it."""
    file = tmp_path / "host-rustun0.json"
    file.write_bytes(content)
    found = journal(tmp_path)
    assert found.kept == NOTHING
    [warning] = found.warnings
    assert str(file) in warning
    assert (tmp_path / "host-rustun0.unreadable").read_bytes() == content
    found.write(KEPT)
    found.close()
    assert journal(tmp_path).kept == KEPT


@pytest.mark.parametrize(
    "name", ["kernel/core_pattern", "net/ipv4/conf/../../../kernel/x", "/etc/passwd", "net/ipv4/conf/a/b/forwarding"]
)
def test_only_settings_of_interfaces_are_believed(tmp_path: Path, name: str) -> None:
    """If this fails, whoever can write a journal has root write any file under /proc/sys."""
    written(tmp_path, replace(KEPT, settings=(Change(name, "0", "1"),)))
    found = journal(tmp_path)
    assert found.kept == NOTHING
    assert "is no setting of ours" in found.warnings[0]


def test_journals_of_others_are_read_and_bad_ones_passed_over(tmp_path: Path) -> None:
    """If this fails, a client that stops takes away what another one needs."""
    other = journal(tmp_path, "site1")
    other.write(KEPT)
    (tmp_path / "host-bad.json").write_text("{")
    assert dict(journal(tmp_path).others()) == {"site1": KEPT}
    assert dict(other.others()) == {}


def test_a_folder_that_cannot_be_written_is_a_problem_with_words(tmp_path: Path) -> None:
    """If this fails, a client that could do without a journal does not start."""
    (tmp_path / "file").write_text("")
    found = journal(tmp_path / "file" / "below")
    assert isinstance(found.problem, HostError)
    assert "cannot be written" in found.problem.message
    with found.alone():
        found.put(KEPT)
    assert found.kept == KEPT


def test_a_full_disk_leaves_what_stood_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a full disk loses what has to be restored."""
    file = written(tmp_path)
    found = journal(tmp_path)

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(HostError, match="no room"):
            found.write(replace(KEPT, hosts=False))
    assert found.kept == KEPT
    assert json.loads(file.read_text())["hosts"] is True


def test_no_link_and_no_pipe_is_followed(tmp_path: Path) -> None:
    """If this fails, a service's user has root write any file on the host, or hang, by `rustun cleanup`."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "host-rustun0.new").symlink_to(victim)
    (folder / "host-rustun0.json").symlink_to(victim)
    (folder / "host-site1.lock").symlink_to(victim)
    os.mkfifo(folder / "host-site2.json")
    found = journal(folder)
    assert "cannot be read" in found.warnings[0]
    found.write(KEPT)
    assert victim.read_text() == "precious"
    assert journal(folder, "site1").problem is not None
    assert "it is no file" in journal(folder, "site2").warnings[0]
    assert list(found.others()) == []


def test_another_users_journal_says_nothing_about_the_hosts_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a service's user writes /etc/hosts by the hand of root."""
    file = written(tmp_path)
    real = os.fstat

    def of_another(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[4] = 4711  # st_uid
        return os.stat_result(found)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", of_another)
        assert journal(tmp_path).kept == replace(KEPT, hosts_write=None)
    assert file.exists()


def test_nobody_who_holds_the_common_lock_stops_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a client that was stopped in the middle, or a hostile service, hangs every other client."""
    monkeypatch.setattr(host_journal, "ALONE_SECONDS", 0.05)
    first, second = journal(tmp_path), journal(tmp_path, "rustun1")
    entered = []
    with first.alone(), second.alone():
        entered.append("beside")
    with second.alone():
        lock = os.open(tmp_path / "host.lock", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)
    for one in (first, second):
        one.close()
    shutil.rmtree(tmp_path)
    tmp_path.write_text("no folder any more")
    with first.alone():
        entered.append("without")
    assert entered == ["beside", "without"]
