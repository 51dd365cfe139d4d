"""Marked keys in real processes: none of them where another user, a log's reader or a crash could find it."""

from __future__ import annotations

import json
import signal
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from netlab.worlds.running import ENVIRONMENT, HANG_S, PORT, RUSTUN, SERVER, Running, Site
from rustun.protocol.suites import public_key
from tests.netlab.private_namespace import in_private_namespace
from tests.secrets_shown import shown

BROKEN = [*RUSTUN[:-1], "tests.netlab.broken_rustun"]
SHARED = "marked-shared-key-of-32-bytes-xx"
NAMES = ("server", "m0", "m1", "stranger")


def secret(name: str) -> bytes:
    """Return a private key, or a pre-shared one."""
    return sha256(name.encode()).digest()


def text(key: bytes) -> str:
    return b64encode(key).decode()


def public(name: str) -> str:
    return text(public_key(X25519PrivateKey.from_private_bytes(secret(name))))


SECRETS = [*map(secret, (*NAMES, "psk")), SHARED.encode(), text(secret("stranger")).encode()]


def write_secret(path: Path, words: str) -> None:
    path.touch(0o600)
    path.write_text(words + "\n")


def write_files(folder: Path) -> None:
    """Write what the server, a member with a psk, one of the shared tier and a stranger have."""
    for name in NAMES:
        write_secret(folder / f"{name}.key", text(secret(name)))
    write_secret(folder / "m0.psk", text(secret("psk")))
    write_secret(folder / "shared.key", SHARED)
    write_secret(folder / "shared.line", f"chacha20:{SHARED}")
    (folder / "server.toml").write_text(
        f'[server_config]\nlisten_addr = "{SERVER}:{PORT}"\n[route_config]\nroutes_file = "routes.json"\n'
        '[crypto_config]\nchacha20poly1305_file = "shared.key"\n[security_config]\nprivate_key_file = "server.key"\n'
    )
    common = {"cluster": "beijing", "mask": "255.255.255.0"}
    members = [
        {"identity": "m0", "private_ip": "10.0.1.1", "public_key": public("m0"), "psk_file": "m0.psk"},
        {"identity": "m1", "private_ip": "10.0.1.2", "public_key": public("m1")},
        {"identity": "s0", "private_ip": "10.0.1.3", "tier": "shared"},
    ]
    (folder / "routes.json").write_text(json.dumps([{**common, **member} for member in members]))
    for identity, key, more in (("m0", "m0", 'psk_file = "m0.psk"'), ("m1", "stranger", "")):
        (folder / f"{key}.toml").write_text(
            f'identity = "{identity}"\n'
            f'servers = [{{ address = "{SERVER}:{PORT}", public_key = "{public("server")}" }}]\n'
            f'[tunnel_config]\nname = "{key}"\n[security_config]\nprivate_key_file = "{key}.key"\n{more}\n'
        )


def ended(folder: Path, *arguments: str) -> str:
    """Run rustun to its end and return all that it said."""
    done = subprocess.run(
        [*RUSTUN, *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    return done.stdout + done.stderr


def seen_from_outside(process: int) -> str:
    """Return what other processes can read of one."""
    of_it = Path(f"/proc/{process}")
    return "".join((of_it / name).read_bytes().decode("latin-1") for name in ("cmdline", "environ", "status", "comm"))


@in_private_namespace
def test_no_key_is_shown_anywhere() -> None:
    """A key stands in a list of processes, a log, a status, a traceback or an error about a file; or in a core file."""
    with Site() as site:
        write_files(site.folder)
        server = site.keep(Running("server", site.folder, ["serve", "-v"], site.far, program=BROKEN))
        member = site.keep(Running("m0", site.folder, ["connect", "--config", "m0.toml", "-v"], program=BROKEN))
        member.until_online()
        shared = ["connect", "-v", "-s", f"{SERVER}:{PORT}", "-i", "s0", "--crypto-file", "shared.line"]
        other = site.keep(Running("s0", site.folder, shared))
        other.until_online()
        refused = site.keep(Running("stranger", site.folder, ["connect", "--config", "stranger.toml", "-v"]))
        refused.until_logged("closed without a word")
        processes = (server, member, other, refused)
        said = [json.dumps(one.status()) for one in processes]
        said += [seen_from_outside(one.process.pid) for one in processes]
        said += [ended(site.folder, "status", "--control", "server.sock", *more) for more in ((), ("--json",))]
        for one in processes:
            limits = Path(f"/proc/{one.process.pid}/limits").read_text().splitlines()
            assert [line.split()[4:6] for line in limits if line.startswith("Max core")] == [["0", "0"]]
        for broken in (server, member):
            broken.process.send_signal(signal.SIGHUP)
            broken.until_logged("ArithmeticError: a defect for a test")
            assert "Traceback" in broken.log
            assert "PrivateKey(" in broken.log
        (site.folder / "server.key").write_text(text(secret("server"))[:-1] + "\n")
        (site.folder / "routes.json").write_text(text(secret("psk")) + text(secret("m0")))
        (site.folder / "m0.toml").write_text(text(secret("m0")))
        (site.folder / "s0.toml").write_text(f'private_key_file = "{text(secret("m0"))}"\n[crypto_config]\n')
        (site.folder / "s1.toml").write_text(f'identity = "s1"\n[crypto_config]\naes256 = "{SHARED}" x\n')
        server.process.send_signal(signal.SIGHUP)
        server.until_logged("server.toml is not in force")
        member.process.send_signal(signal.SIGHUP)
        member.until_logged("the client goes on as it was")
        said += [
            ended(site.folder, "check", name)
            for name in ("server.toml", "routes.json", "m0.toml", "s0.toml", "s1.toml", "m0.key")
        ]
        said += [ended(site.folder, "connect", "-vv", "--config", "m0.toml"), json.dumps(server.status())]
        for one in processes:
            assert one.end(signal.SIGTERM) == 0, one.log
            said.append(one.log)
        for words in said:
            assert not shown(words, SECRETS), words
