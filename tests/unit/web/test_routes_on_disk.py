"""The members' file on the disk, and who changes it meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from rustun.durable import replace_file
from rustun.errors import ConfigError
from rustun.web import routes_on_disk
from rustun.web.management import Proposal, Refused, edit
from rustun.web.routes_on_disk import MAX_SHOWN, RoutesOnDisk
from rustun.web.routes_text import RoutesText

TEXT = '[{"cluster": "c", "identity": "a", "private_ip": "10.0.0.1", "mask": "255.255.255.0"}]\n'


def rename(before: RoutesText) -> Proposal:
    """Propose another name for the only member."""
    return edit(before, "c", "a", {"name": "New"})


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RoutesOnDisk:
    """Return a file with one member, on a host that nothing deploys."""
    monkeypatch.setattr(routes_on_disk, "DEPLOYMENTS", tmp_path / "deploy")
    (tmp_path / "routes.json").write_text(TEXT)
    return RoutesOnDisk(tmp_path / "routes.json")


def test_what_was_proposed_is_written(disk: RoutesOnDisk) -> None:
    """If this fails, the dashboard says that something changed, and nothing did."""
    shown = disk.read()
    proposal = disk.propose(rename, shown.digest)
    assert disk.path.read_text() == TEXT, "a proposal alone"
    disk.write(proposal)
    assert disk.path.read_text() == TEXT.replace('"}]', '", "name": "New"}]')
    assert disk.read().digest == proposal.after.digest != shown.digest


def test_who_comes_too_late_is_told_what_changed(disk: RoutesOnDisk) -> None:
    """If this fails, two people at the dashboard undo each other's work."""
    shown = disk.read().digest
    disk.path.write_text(TEXT.replace("10.0.0.1", "10.0.0.9"))
    with pytest.raises(Refused) as caught:
        disk.propose(rename, shown)
    assert caught.value.kind == "changed"
    assert "a changed (private_ip)" in caught.value.message
    fields = {"private_ip": {"before": "10.0.0.1", "after": "10.0.0.9"}}
    assert caught.value.told["changes"] == [{"cluster": "c", "identity": "a", "change": "changed", "fields": fields}]
    assert disk.propose(rename, str(caught.value.told["digest"]))


def test_a_state_that_is_long_gone_is_refused_as_well(disk: RoutesOnDisk) -> None:
    """If this fails, a page that was open for days writes over everything since."""
    first = disk.read().digest
    for number in range(2, MAX_SHOWN + 3):
        disk.path.write_text(TEXT.replace("10.0.0.1", f"10.0.0.{number}"))
        disk.read()
    with pytest.raises(Refused, match="is not known here any more"):
        disk.propose(rename, first)


def test_nobody_is_written_over(disk: RoutesOnDisk) -> None:
    """If this fails, what an editor saved a moment ago is gone without a word."""
    proposal = disk.propose(rename, "")
    other = TEXT.replace('"c"', '"d"')
    disk.path.write_text(other)
    with pytest.raises(Refused) as caught:
        disk.write(proposal)
    assert (caught.value.kind, disk.path.read_text()) == ("changed", other)


def test_a_link_stays_one_and_the_mode_stays(disk: RoutesOnDisk, tmp_path: Path) -> None:
    """If this fails, the first edit cuts the file off from where it is kept, or lets others read or write it."""
    real = tmp_path / "kept" / "members.json"
    real.parent.mkdir()
    disk.path.rename(real)
    disk.path.symlink_to(real)
    real.chmod(0o640)
    disk.write(disk.propose(rename, ""))
    assert disk.path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert '"New"' in real.read_text()
    assert sorted(path.name for path in real.parent.iterdir()) == ["members.json"], "no draft is left"


def forbid(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let nobody replace a file."""

    def forbidden(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(routes_on_disk, "replace_file", forbidden)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_without_the_right_the_answer_is_the_command(
    disk: RoutesOnDisk, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """If this fails, an operator is told "permission denied", and not what to type."""
    forbid(monkeypatch, number)
    with pytest.raises(Refused) as caught:
        disk.write(disk.propose(rename, ""))
    assert caught.value.kind == "unwritable"
    assert "may not replace files in" in caught.value.message
    assert "sudo install -D -o" in caught.value.remedy and "routes_file" in caught.value.remedy
    assert disk.path.read_text() == TEXT


def test_a_host_that_is_deployed_has_its_members_elsewhere(
    disk: RoutesOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, who is put out here comes in again with the next deployment, and nobody thought of it."""
    (tmp_path / "deploy").mkdir()
    proposal = disk.propose(rename, "")
    assert [note for note in proposal.notes if "the next deployment takes this back" in note]
    forbid(monkeypatch, errno.EACCES)
    with pytest.raises(Refused) as caught:
        disk.write(proposal)
    assert caught.value.kind == "unwritable"
    assert "./invoke deploy" in caught.value.remedy and "routes_file" not in caught.value.remedy


def test_a_full_disk_is_told_and_leaves_the_file(disk: RoutesOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, half a file stands where the members were."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refused, match="No space left"):
        disk.write(disk.propose(rename, ""))
    assert disk.path.read_text() == TEXT
    assert [path.name for path in disk.path.parent.iterdir()] == ["routes.json"]


def test_two_writers_take_turns(disk: RoutesOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, two processes write the same draft at once."""
    monkeypatch.setattr(routes_on_disk, "LOCK_SECONDS", 0.0)
    proposal, other = disk.propose(rename, ""), RoutesOnDisk(disk.path)

    def replace_meanwhile(path: Path, data: bytes, *, like: os.stat_result) -> None:
        with pytest.raises(Refused, match="somebody else is writing"):
            other.write(proposal)
        replace_file(path, data, like=like)

    monkeypatch.setattr(routes_on_disk, "replace_file", replace_meanwhile)
    disk.write(proposal)
    assert disk.read().digest == proposal.after.digest
    assert [path.name for path in disk.path.parent.iterdir()] == ["routes.json"]


def test_a_lock_that_a_dead_writer_left_holds_nobody_up(disk: RoutesOnDisk) -> None:
    """If this fails, nobody can change the members any more once a web process was killed while it wrote."""
    (disk.path.parent / ".routes.json.lock").touch(0o600)
    disk.write(disk.propose(rename, ""))
    assert [path.name for path in disk.path.parent.iterdir()] == ["routes.json"]


def test_nobody_else_can_hold_writers_up(disk: RoutesOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, any user of the server's host keeps in whom the operator or the control plane takes out."""
    monkeypatch.setattr(routes_on_disk, "LOCK_SECONDS", 0.0)
    opened = [os.open(place, os.O_RDONLY) for place in (disk.path.parent, disk.path)]  # as whoever may read can
    for descriptor in opened:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    modes = []

    def replace_seen(path: Path, data: bytes, *, like: os.stat_result) -> None:
        modes.append(stat.S_IMODE((path.parent / ".routes.json.lock").stat().st_mode))
        replace_file(path, data, like=like)

    monkeypatch.setattr(routes_on_disk, "replace_file", replace_seen)
    disk.write(disk.propose(rename, ""))
    for descriptor in opened:
        os.close(descriptor)
    assert modes == [0o600]


def test_a_file_that_is_no_list_is_told(disk: RoutesOnDisk) -> None:
    """If this fails, a half written file is shown as one without members."""
    for text in ("", "{}", "[1]", '[{"a": 1, "a": 2}]', "[{"):
        disk.path.write_text(text)
        with pytest.raises(ConfigError):
            disk.read()
    disk.path.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        disk.read()
