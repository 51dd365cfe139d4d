"""Decoders of what toolkit and laboratory read: policies, sealed keys, what hosts tell, names, a keeper's requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pyrage

from netlab.control.answering import parse_request
from netlab.errors import BadInput
from rustun.ops.deploy.told import nonsense, read_hosts
from rustun.ops.destination import parse_destination
from rustun.ops.filenames import parse_server_name
from rustun.ops.inventory import load_inventory
from rustun.ops.policy.assertions import read_policy
from rustun.ops.sealing import SealError, unseal
from tests.fuzz.decoders import Decoder
from tests.fuzz.file_decoders import FOLDER, ROOT, file_decoder, word_decoder

DEMO: Final = load_inventory(ROOT / "inventory" / "demo.toml")
POLICY: Final = (
    (ROOT / "inventory" / "demo.policy").read_bytes(),
    b"nobody except bj-dev, sh-db can reach 10.0.2.0/24\neverybody in beijing can reach member bj-dev\n",
)
KEYS: Final = json.dumps({"secrets/server.key": "a", "secrets/members/bj-dev@2.key": "b"}).encode()
HOSTS: Final = json.dumps({"hosts": {"root@gw.example:22": ["gw"], "-oProxyCommand=x": ["bad"]}}).encode()
FACTS: Final = json.dumps({"machine": "x", "files": {"/etc/rustun/a": {"mode": "0644"}}, "status": [{}]}).encode()
REQUESTS: Final = (
    b'{"do": "link", "link": "bj-dev", "set": {"delay": "5ms"}, "clear": false, "for_s": 2.5}\n',
    b'{"do": "enter", "node": "bj-dev"}\n',
)
IDENTITY: Final = pyrage.x25519.Identity.generate()  # what is damaged is what is sealed: age itself guards the rest


def policy(path: Path) -> None:
    """Read a policy for the demo's fleet."""
    read_policy(path, DEMO)


def told(data: bytes) -> None:
    """Look at what a host tells of itself, and at the list of hosts that a server keeps."""
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):  # the connection's own reader: a host that tells this does not answer
        return
    assert all(name.isprintable() for name in nonsense(document))
    assert all(isinstance(names, tuple) for names in read_hosts(document).values())


def sealed(data: bytes) -> None:
    """Open a file in which somebody sealed these bytes for us."""
    identity = FOLDER / "identity"
    identity.write_text(str(IDENTITY))
    keys = unseal(bytes(pyrage.encrypt(data, [IDENTITY.to_public()])), identity, None)
    assert all(name.startswith("secrets/") and ".." not in name for name in keys)


TOOLKIT: Final = (
    file_decoder("policy.read_policy", "demo.policy", POLICY, policy),
    Decoder("told.read_hosts", (HOSTS, FACTS), told, ValueError, is_text=True),
    Decoder("sealing.unseal", (KEYS,), sealed, SealError, is_text=True),
    Decoder("answering.parse_request", REQUESTS, parse_request, BadInput, is_text=True),
    word_decoder(parse_destination, "root@gw.example:22", "ssh://gw", "[2001:db8::1]:22", ""),
    word_decoder(parse_server_name, "server", "hk-1.a_b"),
)
