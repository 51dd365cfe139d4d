"""The documents against the code: what they say about bytes, limits and reasons is what the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from netlab.scenarios.catalogue import ALL, SCENARIOS
from rustun.backends.host_judgement import MAX_ROUTES
from rustun.backends.host_network import GSO_MAX_BYTES, TXQUEUELEN
from rustun.backends.host_snapshot import ROUTE_PROTOCOL
from rustun.client.settings import WAITING
from rustun.config import load_client_config, load_server_config, read_routes
from rustun.config.client import LEGACY_MTU, USUAL_MTU
from rustun.config.keys import new_private_key
from rustun.config.limits import LimitConfig, QueueConfig
from rustun.config.member import KNOWN_KEYS, MAX_CIDERS
from rustun.config.toml import Table
from rustun.errors import Problem
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.control import Ping, RekeySwitch, encode
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import FrameType, encode_frame
from rustun.protocol.handshake import Hello, Initiator, Refusal, RefusalCode, Responder, Welcome
from rustun.protocol.packet import ITEM, DropReason
from rustun.protocol.records import Cipher
from rustun.protocol.rekey import RekeyClient, RekeyServer
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply, SeedKeepAlive
from rustun.protocol.suites import KEY, NO_PSK, SHARED, Credentials, public_key, shared_psk

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = ROOT / "docs" / "protocol.md"
STATUS = ROOT / "docs" / "status.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
SECURITY = ROOT / "docs" / "security.md"
SCENARIO = re.compile(r"scenario `([a-z-]+)`")
FAULTS_OF_THE_WIRE = [*map(str, range(1, 20)), "19a", *map(str, range(20, 29)), "33", *map(str, range(35, 40))]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

SEED_KEY = "rustun"
SHARED_KEY = "correct horse battery staple"
NONCE = bytes(range(12))
# An ICMP echo request of 28 bytes from 10.0.1.1 to 10.0.1.2.
ECHO = bytes.fromhex("4500001c00004000400124df0a0001010a0001020800f7fd00010001")
HELLO = Hello("bj-dev", "0.1.0", (Cipher.AES256, Cipher.CHACHA20), frozenset({"csum", "tso4", "tso6", "uso"}), 10, 1500)
WELCOME = Welcome(Cipher.AES256, "10.0.1.2/24", "fd00:1::2/64", "Beijing development", "0.1.0")
UNKNOWN = Refusal(RefusalCode.UNKNOWN_IDENTITY, "unknown identity")


@cache
def examples() -> dict[str, bytes]:
    """Return what the examples of docs/protocol.md have to show, by name."""
    return {**seed_examples(), **shared_examples(), **key_examples()}


def seed_examples() -> dict[str, bytes]:
    handshake = SeedHandshake("bj-dev").encode()
    found = {
        "seed-handshake-json": handshake,
        "seed-keepalive-json": SeedKeepAlive(identity="bj-dev").encode(4096),
        "seed-handshake-reply-json": SeedHandshakeReply(
            name="Beijing development",
            private_ip="10.0.1.2",
            mask="255.255.255.0",
            gateway="10.0.1.254",
            ciders=("192.168.11.0/24",),
            cider_mapping={"192.168.11.0/24": "192.168.1.0/24"},
        ).encode(4096),
    }
    for method in SeedMethod:
        codec = SeedCodec(seed_cipher(method, SEED_KEY), lambda size: NONCE[:size])
        found[f"seed-handshake-{method}"] = codec.seal_message(FrameType.SEED_HANDSHAKE, handshake)
    return found


def key_examples() -> dict[str, bytes]:
    own, remote = (X25519PrivateKey.from_private_bytes(bytes([byte]) * 32) for byte in (0x55, 0x66))
    client = Initiator(Credentials(KEY, NO_PSK, own, public_key(remote)), HELLO, b"\x11" * 32, b"\x77" * 12)
    server = Responder(Credentials(KEY, static=remote), b"\x22" * 32)
    first = Envelope(public_key(remote)).open(client.first_frame)
    assert first is not None
    server.receive(first)
    reply, keys = server.answer(WELCOME)
    return {
        "key-client-public": public_key(own),
        "key-server-public": public_key(remote),
        "key-init": client.first_frame,
        "key-reply": reply,
        "key-split-client-to-server": keys.client_to_server,
        "key-split-server-to-client": keys.server_to_client,
        "key-handshake-hash": keys.handshake_hash,
    }


def shared_examples() -> dict[str, bytes]:
    psk = shared_psk(SHARED_KEY)
    credentials = Credentials(SHARED, psk)
    client, server = Initiator(credentials, HELLO, b"\x11" * 32), Responder(credentials, b"\x22" * 32)
    server.receive(client.first_frame)
    reply, keys = server.answer(WELCOME)
    codec = RecordCodec(Cipher.AES256, keys, is_client=True, now=0.0)
    refusing = Responder(credentials, b"\x22" * 32)
    refusing.receive(client.first_frame)
    ping = codec.seal_control(encode(Ping(0)))
    item = ITEM.pack(0, 0, len(ECHO)) + ECHO
    data = bytearray(256)
    end = codec.seal_items(item, memoryview(data), 0)
    rekey, answering = (role(credentials, keys.handshake_hash) for role in (RekeyClient, RekeyServer))
    assert isinstance(rekey, RekeyClient) and isinstance(answering, RekeyServer)
    init = rekey.begin(b"\x33" * 32)
    rekey_reply, new_keys = answering.receive(init, b"\x44" * 32)
    switch = codec.seal_control(encode(RekeySwitch()))
    codec.replace_sealer(new_keys, 0.0)
    return {
        "shared-psk": psk,
        "shared-hello-json": HELLO.encode(),
        "shared-init": client.first_frame,
        "shared-welcome-json": WELCOME.encode(),
        "shared-reply": reply,
        "shared-refusal-json": UNKNOWN.encode(),
        "shared-refusal": refusing.answer(UNKNOWN)[0],
        "split-client-to-server": keys.client_to_server,
        "split-server-to-client": keys.server_to_client,
        "handshake-hash": keys.handshake_hash,
        "record-ping-json": encode(Ping(0)),
        "record-ping": ping,
        "record-item": item,
        "record-data": bytes(data[:end]),
        "rekey-init-json": encode(init),
        "rekey-reply-json": encode(rekey_reply),
        "rekey-switch": switch,
        "rekey-client-to-server": new_keys.client_to_server,
        "rekey-first-record": codec.seal_control(encode(Ping(1))),
    }


def written_examples() -> dict[str, bytes]:
    blocks = re.findall(r"^```(hex|json) ([a-z0-9-]+)\n(.*?)^```$", PROTOCOL.read_text(), re.DOTALL | re.MULTILINE)
    return {
        name: bytes.fromhex("".join(text.split())) if form == "hex" else "".join(text.split("\n")).encode()
        for form, name, text in blocks
    }


def test_every_example_is_what_the_code_makes() -> None:
    """Fails if a stranger who checks his peer against docs/protocol.md is led astray."""
    written = written_examples()
    assert sorted(written) == sorted(examples())
    wrong = {name: expected.hex() for name, expected in examples().items() if written[name] != expected}
    assert not wrong


def test_the_frame_of_an_example_has_the_type_that_the_table_says() -> None:
    """Fails if the table of frame types leaves out a type of the code, or numbers it differently."""
    rows = re.findall(r"^\| 0x([0-9a-f]{2}) \| `([A-Z_0-9]+)` \|", PROTOCOL.read_text(), re.MULTILINE)
    assert {name: int(number, 16) for number, name in rows} == {kind.name: int(kind) for kind in FrameType}
    assert encode_frame(FrameType.DATA, b"").hex() in PROTOCOL.read_text()


@pytest.mark.parametrize("config", [LimitConfig, QueueConfig], ids=["limit_config", "queue_config"])
def test_every_limit_is_documented_with_its_default(config: type[LimitConfig | QueueConfig]) -> None:
    """Fails if an operator reads another default or range than the server has, or finds no word about a limit."""
    section = PROTOCOL.read_text().split("\n## 8. Limits\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| `([a-z0-9_]+)` \| ([^|]+?) \| ([^|]+?) \|", section, re.MULTILINE)
    written = {name: (default, allowed) for name, default, allowed in table}
    for entry in fields(config):
        low, high = entry.metadata.get("low", "a name"), entry.metadata.get("high")
        allowed = low if high is None else f"{low} to {high}"
        assert written.get(entry.name) == (str(entry.default), allowed), entry.name
    names = {entry.name for kind in (LimitConfig, QueueConfig) for entry in fields(kind)}
    assert written.keys() == names


def test_a_limit_that_nothing_reads_is_documented_as_such() -> None:
    """Fails if the document promises a limit that the server does not keep, or still warns of one that it keeps."""
    section = PROTOCOL.read_text().split("\n## 8. Limits\n")[1].split("\n## ")[0]
    warned = set(re.findall(r"^\| `([a-z0-9_]+)` \|.*not acted on", section, re.MULTILINE))
    code = "".join(path.read_text() for path in (ROOT / "rustun").rglob("*.py") if path.parent.name != "config")
    read = set(re.findall(r"(?:limits|queues)\.([a-z0-9_]+)", code))
    names = {entry.name for kind in (LimitConfig, QueueConfig) for entry in fields(kind)}
    assert warned == names - read


def configuration_section(file: str) -> str:
    return CONFIGURATION.read_text().split(f"\n## {file}\n")[1].split("\n## ")[0]


def documented_keys(file: str) -> dict[str, list[str]]:
    """Return what docs/configuration.md says of a file: the cells of each row, by dotted key."""
    found: dict[str, list[str]] = {}
    table = ""
    for line in configuration_section(file).split("\n"):
        if heading := re.match(r"Before all |Each of `(\w+)`|`\[(\w+)\]`", line):
            table = heading[1] or heading[2] or ""
        elif row := re.match(r"\| `(\w+)` \| (.*) \|$", line):
            found[".".join(filter(None, (table, row[1])))] = row[2].split(" | ")
    return found


def configuration_example(file: str, folder: Path) -> Path:
    """Write a file's example of docs/configuration.md, with key files in the place of those in /etc."""
    [text] = re.findall(rf"^```\w+ {re.escape(file)}\n(.*?)^```$", CONFIGURATION.read_text(), re.DOTALL | re.MULTILINE)
    for name in re.findall(r"/etc/rustun/(\w+\.key)", text):
        (folder / name).touch(0o600)
        (folder / name).write_text(new_private_key().reveal())
    (folder / file).write_text(text.replace("/etc/rustun/", f"{folder}/"))
    return folder / file


def keys_asked_for(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Return what parsers fill from now on: the keys that they know in each table."""
    asked: dict[str, set[str]] = {}

    def close(table: Table) -> None:
        asked.setdefault(".".join(table._path), set()).update(table._known)

    monkeypatch.setattr(Table, "close", close)
    return asked


def dotted(asked: dict[str, set[str]]) -> set[str]:
    names = {".".join(filter(None, (table, key))) for table, keys in asked.items() for key in keys}
    return names - asked.keys()  # tables are no keys


def test_every_key_of_the_server_is_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a key of server.toml has no line in docs/configuration.md, or one has a line that is gone."""
    asked = keys_asked_for(monkeypatch)
    load_server_config(configuration_example("server.toml", tmp_path))
    for table, kind in (("limit_config", LimitConfig), ("queue_config", QueueConfig)):
        assert asked.pop(table) == {entry.name for entry in fields(kind)}  # section 8 of the protocol has them
        asked[table] = set()
    assert documented_keys("server.toml").keys() == dotted(asked)


def test_every_key_of_a_client_is_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a key of client.toml has no line in docs/configuration.md, or one has a line that is gone."""
    asked = keys_asked_for(monkeypatch)
    load_client_config(configuration_example("client.toml", tmp_path))
    of_server = {f"crypto_config.{key}" for key in asked["crypto_config"]}
    assert of_server <= documented_keys("server.toml").keys()
    assert documented_keys("client.toml").keys() == dotted(asked) - of_server | {"servers"}  # a key and its tables


def test_every_key_of_an_entry_is_documented() -> None:
    """Fails if a key of routes.json has no line in docs/configuration.md, or one has a line that is gone."""
    assert documented_keys("routes.json").keys() == KNOWN_KEYS


def test_what_waits_for_a_restart_is_documented() -> None:
    """Fails if an operator reloads and waits for a change that only a restart brings, or restarts for nothing."""
    changes = {file: {k: c[-1] for k, c in documented_keys(f"{file}.toml").items()} for file in ("server", "client")}
    for key, change in changes["server"].items():
        table, _, name = key.partition(".")
        reread = ("security_config", "crypto_config", "dashboard_config", "conf_agent")
        taken = table in reread and name != "known_keys_file"
        taken = taken or key == "admin_config.metrics_listen"  # the web process is another one
        assert change == ("reload" if taken else "restart"), key
    device = {f"tunnel_config.{name.removeprefix('tun_')}" for name in WAITING}
    for key, change in changes["client"].items():
        assert change == ("restart" if key in device | {"identity"} else "reload"), key


@pytest.mark.parametrize(
    ("file", "notes_of"),
    [
        ("server.toml", lambda path: load_server_config(path).notes),
        ("client.toml", lambda path: load_client_config(path).notes),
        ("routes.json", lambda path: read_routes(path).notes),
    ],
)
def test_the_examples_of_the_configuration_are_taken(
    file: str, notes_of: Callable[[Path], tuple[Problem, ...]], tmp_path: Path
) -> None:
    """Fails if somebody copies an example and gets an error or a warning."""
    notes = notes_of(configuration_example(file, tmp_path))
    assert [note for note in notes if note.level != "note"] == []


@pytest.mark.parametrize(
    "fact",
    [
        f"MTU {USUAL_MTU} ({LEGACY_MTU} with `--legacy`",
        f"{TXQUEUELEN} packets of transmit queue",
        f"`gso_max_size` {GSO_MAX_BYTES}",
        f"`ip route show proto {ROUTE_PROTOCOL}`",
        f"over {MAX_ROUTES:,} routes",
    ],
)
def test_a_host_gets_what_its_document_says(fact: str) -> None:
    """Fails if an operator looks at his host and finds other values than docs/hosts.md lists."""
    assert fact in " ".join((ROOT / "docs" / "hosts.md").read_text().split())


def test_the_number_of_prefixes_behind_a_member_is_documented() -> None:
    """Fails if routes.json is refused for a number of prefixes that no document mentions."""
    assert f"its `ciders`, at most {MAX_CIDERS}." in " ".join(PROTOCOL.read_text().split())


REASON_FUNCTIONS = ("route", "_judge", "why_it_ends")  # what they return is counted, or is why a session ends


def reasons_in(path: Path) -> Iterator[str]:
    """Yield every word under which a file counts drops, or (in the relay) closes."""
    for node in ast.walk(ast.parse(path.read_text())):
        words: list[ast.expr | None] = []
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute | ast.Name):
            counter = node.value.attr if isinstance(node.value, ast.Attribute) else node.value.id
            words = [node.slice] if counter in ("drops", "closes") else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and path.parent.name == "relay":
            words = list(node.args[:1]) if node.func.attr == "close" else []
        elif isinstance(node, ast.FunctionDef) and node.name in REASON_FUNCTIONS:
            words = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
            words += [word.args[1] for word in words if isinstance(word, ast.Call) and len(word.args) == 2]
        yield from (word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str))


def test_every_reason_is_documented() -> None:
    """Fails if a status shows a drop or a close whose reason nobody can look up, or one is described that is gone."""
    paths = [path for folder in ("relay", "client") for path in (ROOT / "rustun" / folder).glob("*.py")]
    counted = {word for path in paths for word in reasons_in(path) if word} | {reason.label for reason in DropReason}
    section = STATUS.read_text().split("\n## Reasons\n")[1].split("\n## ")[0]
    described = set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))
    assert described == counted


def test_every_fault_of_the_wire_names_tests_that_are_there() -> None:
    """Fails if docs/security.md claims something that no test shows, or leaves a row of the faults out."""
    rows = re.findall(r"^\| ([0-9]+a?) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", SECURITY.read_text(), re.MULTILINE)
    assert [number for number, _ in rows] == FAULTS_OF_THE_WIRE
    for number, shown in rows:
        named = re.findall(r"`(test_[a-z0-9_]+)`", shown)
        assert named
        assert {name.split("_")[2] for name in named if name.startswith("test_row_")} <= {number}
        assert all(number in SCENARIOS[name].rows.split(", ") for name in SCENARIO.findall(shown))


def test_every_test_that_is_named_is_there() -> None:
    """Fails if a reader of docs/security.md looks for a test or a scenario that has another name now."""
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", SECURITY.read_text()))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_[a-z0-9_]+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 100
    assert named <= there, named - there
    assert set(SCENARIO.findall(SECURITY.read_text())) <= SCENARIOS.keys()


def test_every_scenario_is_in_the_table_of_the_laboratory() -> None:
    """Fails if a reader of docs/lab.md misses a scenario, or reads of one what it does not show."""
    section = (ROOT / "docs" / "lab.md").read_text().split("\n## Scenarios\n")[1].split("\n## ")[0]
    told = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    assert told == [(name, one.rows or "-", one.shows) for name, one in ALL.items()]
    assert {name for name, one in SCENARIOS.items() if one.long} <= set(re.findall(r"`([a-z-]+)`[,.]", section))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """Fails if a reader follows a link of a document to nothing."""
    text = document.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), target


def anchors(path: Path) -> set[str]:
    """Return what a heading of a document is linked by, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_code_refers_to_sections_that_are_there() -> None:
    """Fails if a docstring sends its reader to a document or a section that does not exist."""
    headings = {name.split(".")[0] for name in re.findall(r"^## (.*)$", PROTOCOL.read_text(), re.MULTILINE)}
    for path in (ROOT / "rustun").rglob("*.py"):
        for document, place in re.findall(r"docs/([a-z]+\.md)(?:, ([^)\n]*)\))?", path.read_text()):
            assert (ROOT / "docs" / document).exists(), path
            assert set(re.findall(r"[0-9]+", place)) <= headings, path
            assert set(re.findall(r'"([^"]+)"', place)) <= headings, path
            assert "rule" not in place, path
