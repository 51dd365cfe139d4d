"""Decoders of what the web process reads: bodies of its API, answers of a control plane, the members' file."""

from __future__ import annotations

import json
from typing import Final

from rustun.config.conf_agent import parse_url
from rustun.errors import ConfigError, ProtocolError, RustunError
from rustun.protocol.strict_json import loads_list, loads_object
from rustun.web.management import add, edit
from rustun.web.routes_text import cut_routes, read_routes_text
from rustun.web.sync_members import parse_connections, parse_members, replace_members
from tests.fuzz.decoders import Decoder
from tests.fuzz.file_decoders import FOLDER, NOW, PUBLIC_KEYS, ROUTES_JSON, file_decoder, word_decoder

MAX_BYTES: Final = 65_535
BEFORE: Final = cut_routes(FOLDER / "managed.json", ROUTES_JSON[0])
EDITS: Final = (
    {"name": "Two", "ciders": ["192.168.11.0/24"], "enabled": False, "expires_at": None},
    {"cider_mapping": None, "private_ip": "10.0.1.7", "public_key": list(PUBLIC_KEYS), "tier": "key"},
)
NEW: Final = (
    {"cluster": "beijing", "name": "New", "ciders": ["10.77.0.0/16"]},
    {"cluster": "beijing", "identity": "n"},
)
MEMBERS: Final = [
    {
        "name": "One", "cluster": "beijing", "identity": "m1", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
        "gateway": "", "ciders": ["192.168.11.0/24"], "cider_mapping": {"192.168.11.0/24": "192.168.1.0/24"},
    },
    {"cluster": "c", "identity": "n", "private_ip": "10.0.1.9", "mask": "255.255.255.0", "ciders": None},
]  # fmt: skip
CONNECTIONS: Final = [{"cluster_id": 7, "identity": "m1", "last_active": 5}, {"cluster_id": "c", "identity": "n"}]


def as_json(*values: object) -> tuple[bytes, ...]:
    """Return values as they are sent."""
    return tuple(json.dumps(value).encode() for value in values)


def edited(data: bytes) -> None:
    """Edit a member with a body; what comes of it is the whole file, with the same members."""
    proposal = edit(BEFORE, "beijing", "m1", loads_object(data, max_bytes=MAX_BYTES))
    assert [entry["identity"] for entry in proposal.after] == ["m1", "m2"]
    assert proposal.after.text.endswith(BEFORE.text[BEFORE.entries[1].span.start :])


def added(data: bytes) -> None:
    """Add a member with a body."""
    proposal = add(BEFORE, loads_object(data, max_bytes=MAX_BYTES))
    assert proposal.after.text.startswith(BEFORE.text[: BEFORE.entries[1].span.end])


def synced(data: bytes) -> None:
    """Take a control plane's answer; keys of those who stay stay."""
    proposal = replace_members(BEFORE, parse_members(data), allow_empty=True, left_behind={})
    before = {entry["identity"]: entry for entry in BEFORE}
    for entry in proposal.after:
        was = before.get(entry["identity"], {})
        assert all(entry.get(key) == was[key] for key in ("public_key", "psk_file", "enabled", "tier") if key in was)


def reported(data: bytes) -> None:
    """Take a report of connections."""
    parse_connections(loads_list(data, max_bytes=MAX_BYTES), NOW)


WEB: Final = (
    Decoder("management.edit", as_json(*EDITS), edited, RustunError, is_text=True, max_bytes=MAX_BYTES),
    Decoder("management.add", as_json(*NEW), added, RustunError, is_text=True, max_bytes=MAX_BYTES),
    Decoder("sync_members.replace_members", as_json(MEMBERS), synced, RustunError, is_text=True, max_bytes=MAX_BYTES),
    Decoder("sync_members.parse_connections", as_json(CONNECTIONS), reported, ProtocolError, True, MAX_BYTES),
    file_decoder("routes_text.read_routes_text", "shown.json", ROUTES_JSON, read_routes_text),
    Decoder("routes_text.cut_routes", ROUTES_JSON, lambda data: cut_routes(FOLDER / "cut.json", data), ConfigError,
            is_text=True, max_bytes=1 << 20),
    word_decoder(parse_url, "https://control.example:8443/base/", "http://[::1]:9000"),
)  # fmt: skip
