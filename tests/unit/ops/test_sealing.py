"""Sealed keys: what comes back, for whom, and what is never overwritten or shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pyrage
import pytest

from rustun.config.keys import Secret, new_private_key
from rustun.ops import exit_codes, sealing
from rustun.ops.editing.files import editing
from rustun.ops.inventory import load_inventory
from rustun.ops.keyfiles import write_key_files
from rustun.ops.render import plan_render, write_plan
from rustun.ops.sealing import SealError

NAMES = (
    "secrets/server.key", "secrets/shared.key", "secrets/members/alice.key", "secrets/members/%c3%a9@2.key",
    "secrets/psks/alice.psk", "secrets/dashboard.token",
)  # fmt: skip
# By a second implementation of age's specification, with a work factor of 2**4: what age itself takes costs seconds.
SEALED = (
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBZN2grZHJtVXZvN2c0SXV3dUR6Y1BnIDQKRDBHNzJmLzYxdVZKMTJFVlZoOVYxMm9jMXZp"
    "dVdXMlorU1hxUVJhamwvVQotLS0gVWE1MWU3T21vZXZ3Z3I4RHZCZENhaEtGNGxaMUR0eUVBeHh3UDRremI0MAr/GBWhPNHVbJF69cWNou8FMnJN"
    "tuzqpezEDDkNkLU0pDT5Dws7mhwqLmhJrkcRFK0Uj1IzznomrGVUUqAMBy8WKiDGRJ5D/Fq+vCHPoMyoneACowcRD8tS/kBSwPmDtK58+b//j5w="
)
FLEET = '[fleet]\nname = "acme"\nservers = [{ address = "198.18.0.1:8080" }]\n'


@pytest.fixture
def keys() -> dict[str, Secret]:
    """Return a fleet's keys."""
    return {name: new_private_key() for name in NAMES}


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """Write a recipient's private key and the recipients file that names it."""
    found = pyrage.x25519.Identity.generate()
    (tmp_path / "acme.recipients").write_text(f"# the operators\n{found.to_public()}  # alice\n")
    (tmp_path / "identity").write_text(f"# created: today\n{found}\n")
    return tmp_path / "identity"


def test_who_is_named_can_open(tmp_path: Path, keys: dict[str, Secret], identity: Path) -> None:
    """The only copy of the keys would be lost with the machine that made them."""
    sealed = sealing.seal(keys, tmp_path / "acme.recipients", None)
    assert sealing.unseal(sealed, identity, None) == keys
    assert not any(key.reveal().encode() in sealed for key in keys.values())


def test_a_passphrase_opens_what_it_sealed(tmp_path: Path, keys: dict[str, Secret]) -> None:
    """A fleet without recipients could not keep its keys in git."""
    sealed = sealing.seal(keys, tmp_path / "none", Secret("a long passphrase"))
    assert sealing.unseal(sealed, None, Secret("a long passphrase")) == keys
    assert not any(key.reveal().encode() in sealed for key in keys.values())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("secrets/deeper/down/m.key", "k", "could not be opened again"),
        ("secrets/Old/m.key", "k", "could not be opened again"),
        ("secrets/dashboard.token", "", "is empty"),
    ],
)
def test_what_could_not_be_opened_again_is_not_sealed(tmp_path: Path, name: str, text: str, words: str) -> None:
    """The sealed file is the only copy, and says of itself that it holds no keys; or a lost key is lost in it too."""
    with pytest.raises(SealError, match=words):
        sealing.seal({NAMES[0]: new_private_key(), name: Secret(text)}, tmp_path / "none", Secret("a passphrase"))


def test_every_key_that_is_made_can_be_opened_again(tmp_path: Path) -> None:
    """A fleet with a dashboard seals its keys, loses them, and cannot open what it sealed."""
    members = "[cluster.c]\nnetwork = '10.0.1.0/24'\n[cluster.c.member.m]\npsk = true\n"
    members += "[cluster.c.member.s]\ntier = 'shared'\n"
    (tmp_path / "acme.toml").write_text(f'{FLEET}dashboard = "127.0.0.1:8081"\n{members}')
    write_plan(plan_render(load_inventory(tmp_path / "acme.toml"), tmp_path / "build" / "acme"))
    keys = sealing.read_keys(tmp_path / "build" / "acme")
    assert {Path(name).suffix for name in keys} == {".key", ".psk", ".token"}
    sealed = sealing.seal(keys, tmp_path / "none", Secret("a passphrase"))
    assert sealing.unseal(sealed, None, Secret("a passphrase")) == keys


def test_a_passphrase_opens_and_another_does_not() -> None:
    """Anybody could open the keys, or nobody those that were sealed years ago."""
    sealed = base64.b64decode(SEALED)
    assert sealing.unseal(sealed, None, Secret("a long passphrase")) == {NAMES[0]: Secret(f"{'A' * 43}=")}
    for wrong in (Secret("another"), Secret(""), None):
        with pytest.raises(SealError, match="cannot be opened"):
            sealing.unseal(sealed, None, wrong)


def test_a_stranger_cannot_open(tmp_path: Path, keys: dict[str, Secret], identity: Path) -> None:
    """Who reads the repository would read the keys."""
    sealed = sealing.seal(keys, tmp_path / "acme.recipients", None)
    identity.write_text(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(SealError, match="cannot be opened"):
        sealing.unseal(sealed, identity, None)


def test_opening_writes_what_is_missing_with_its_modes(tmp_path: Path, keys: dict[str, Secret]) -> None:
    """A fresh checkout could not deploy, or its keys would be open to all."""
    some = dict(list(keys.items())[:2])
    (tmp_path / "build").mkdir()
    write_key_files(tmp_path / "build", some)
    assert sealing.restore(tmp_path / "build", keys) == list(NAMES[2:])
    assert sealing.read_keys(tmp_path / "build") == keys
    assert (tmp_path / "build" / NAMES[2]).stat().st_mode & 0o777 == 0o600
    assert sealing.restore(tmp_path / "build", keys) == []


def test_a_key_that_differs_is_named_and_nothing_is_written(tmp_path: Path, keys: dict[str, Secret]) -> None:
    """An old sealed file would put the keys of last year in place of those in use."""
    (tmp_path / "build").mkdir()
    other = new_private_key()
    write_key_files(tmp_path / "build", {NAMES[0]: other})
    with pytest.raises(SealError, match="differ from the sealed ones") as caught:
        sealing.restore(tmp_path / "build", keys)
    assert sealing.read_keys(tmp_path / "build") == {NAMES[0]: other}
    assert keys[NAMES[0]].reveal() not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"nothing",
        b"[" * 100_000,
        b'{"secrets/a.key": 5}',
        b'{"/etc/passwd": "x"}',
        b'{"secrets/../../x.key": "x"}',
        b'{"secrets/members/../../x.key": "x"}',
        b'{"secrets/a.toml": "x"}',
    ],
)
def test_a_sealed_file_writes_keys_and_nothing_else(tmp_path: Path, data: bytes, identity: Path) -> None:
    """Who may change a file in the repository could write any file of the operator's machine."""
    recipients = sealing._recipients(tmp_path / "acme.recipients")
    with pytest.raises(SealError, match="is not a fleet's keys"):
        sealing.unseal(bytes(pyrage.encrypt(data, recipients)), identity, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age1nonsense\n", "acme.recipients:1: is no recipient"),
        ("# nobody\n", "names nobody"),
        ("ssh-x y\n", "is no recipient"),
    ],
)
def test_a_slip_among_recipients_is_named(tmp_path: Path, keys: dict[str, Secret], text: str, said: str) -> None:
    """The keys would be sealed for fewer people than their owner believes."""
    (tmp_path / "acme.recipients").write_text(text)
    with pytest.raises(SealError, match=said):
        sealing.seal(keys, tmp_path / "acme.recipients", None)


def test_the_tasks_seal_and_open_beside_the_inventory(
    tmp_path: Path, keys: dict[str, Secret], identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the documents promise would not work end to end, or would print a key."""
    (tmp_path / "acme.toml").write_text(FLEET)
    (tmp_path / "build" / "acme").mkdir(parents=True)
    write_key_files(tmp_path / "build" / "acme", keys)
    assert sealing.run_seal(tmp_path / "acme.toml", tmp_path / "build", None) == 0
    assert sealing.run_open(tmp_path / "acme.toml", tmp_path / "elsewhere", identity, None) == 0
    assert sealing.read_keys(tmp_path / "elsewhere" / "acme") == keys
    said = "".join(capsys.readouterr())
    assert "6 keys sealed for" in said
    assert "6 of 6 keys written" in said
    assert not any(key.reveal() in said for key in keys.values())


def test_a_folder_of_ones_own_choice_is_sealed_and_opened(
    tmp_path: Path, keys: dict[str, Secret], identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who generates with --out could not keep those keys, or would seal those of the usual folder as theirs."""
    (tmp_path / "acme.toml").write_text(FLEET)
    chosen, back = tmp_path / "chosen", tmp_path / "back"
    chosen.mkdir()
    write_key_files(chosen, keys)
    assert sealing.run_seal(tmp_path / "acme.toml", tmp_path / "build", None, chosen) == exit_codes.OK
    assert sealing.run_open(tmp_path / "acme.toml", tmp_path / "build", identity, None, back) == exit_codes.OK
    assert sealing.read_keys(back) == keys
    assert not (tmp_path / "build").exists()
    assert f"written into {back}/secrets" in capsys.readouterr().out


def test_a_dry_run_says_what_is_there_and_writes_nothing(
    tmp_path: Path, keys: dict[str, Secret], identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether a backup can be opened, and is whole, would be found out when it is needed."""
    inventory, build = tmp_path / "acme.toml", tmp_path / "build"
    inventory.write_text(FLEET)
    (build / "acme").mkdir(parents=True)
    write_key_files(build / "acme", keys)
    assert sealing.run_seal(inventory, build, None, dry=True) == exit_codes.OK
    assert not (tmp_path / "acme.keys.age").exists()
    assert f"{', '.join(sorted(NAMES))}: would be sealed for {tmp_path}" in capsys.readouterr().out
    assert sealing.run_seal(inventory, build, None) == exit_codes.OK
    (build / "acme" / NAMES[0]).unlink()
    assert sealing.run_open(inventory, build, identity, None, dry=True) == exit_codes.OK
    assert f"missing in {build}/acme/secrets: {NAMES[0]}\n" in capsys.readouterr().out
    assert not (build / "acme" / NAMES[0]).exists()


def test_two_who_seal_at_once_do_not_mix(
    tmp_path: Path, keys: dict[str, Secret], identity: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sealed file would be one half of each, and nobody could open it."""
    (tmp_path / "acme.toml").write_text(FLEET)
    (tmp_path / "build" / "acme").mkdir(parents=True)
    write_key_files(tmp_path / "build" / "acme", keys)
    with editing(tmp_path / "acme.toml"):
        assert sealing.run_seal(tmp_path / "acme.toml", tmp_path / "build", None) == exit_codes.ENVIRONMENT
    assert "somebody else is editing here" in capsys.readouterr().err
    assert not (tmp_path / "acme.keys.age").exists()


def test_without_recipients_and_terminal_it_is_said_what_to_give(
    tmp_path: Path, keys: dict[str, Secret], capsys: pytest.CaptureFixture[str]
) -> None:
    """A task in CI would wait for a passphrase for ever."""
    (tmp_path / "acme.toml").write_text(FLEET)
    (tmp_path / "build" / "acme").mkdir(parents=True)
    write_key_files(tmp_path / "build" / "acme", keys)
    assert sealing.run_seal(tmp_path / "acme.toml", tmp_path / "build", None) == exit_codes.BAD_INPUT
    assert "nobody can be asked for a passphrase here" in capsys.readouterr().err
    assert sealing.run_open(tmp_path / "acme.toml", tmp_path / "build", None, None) == exit_codes.BAD_INPUT
    assert "acme.keys.age: there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize("typed, said", [(None, "no passphrase was typed"), ("\udce4", "is not UTF-8 text")])
def test_what_cannot_be_a_passphrase_is_told(typed: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D, or a terminal of another encoding, would end in a traceback."""

    def typing(_prompt: str) -> str:
        if typed is None:
            raise EOFError
        return typed

    monkeypatch.setattr("getpass.getpass", typing)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with pytest.raises(SealError, match=said):
        sealing.ask_passphrase(None, twice=True)
