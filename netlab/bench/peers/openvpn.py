"""OpenVPN as a hub: one server process that passes packets between its clients by itself (client-to-client).

In user space on purpose (no dco): that is what Debian 12 runs without a further module, and what rustun compares with.
AES-256-GCM, certificates of an authority made for the occasion.
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netlab.bench.peers.hub import Peer, await_words, inside, networks, outside_of_server, start
from netlab.errors import BadInput
from netlab.lab import Laboratory
from netlab.topology import SERVER

PORT = 1194
READY = "Initialization Sequence Completed"
VALID = dt.timedelta(days=2)
Transport = Literal["udp", "tcp"]


def bring_up(transport: Transport, lab: Laboratory, folder: Path) -> None:
    """Start the server and a client for each member; the server gives out the members' own addresses."""
    if len(networks(lab)) != 1:
        raise BadInput("OpenVPN's hub has one network", "measure the members of one cluster")
    (network,) = networks(lab)
    authority = _Authority(folder)
    for node in (SERVER, *(member.identity for member in lab.spec.members)):
        authority.certify(node)
    addresses = folder / "addresses"
    addresses.mkdir()
    for member in lab.spec.members:
        (addresses / member.identity).write_text(f"ifconfig-push {inside(member)[0]} {network.netmask}\n")
    own = str(network.broadcast_address - 1)  # in no inventory anybody's
    hub = ["--mode", "server", "--tls-server", "--dh", "none", "--client-to-client", "--port", str(PORT)]
    hub += ["--proto", "udp4" if transport == "udp" else "tcp4-server", "--ifconfig", own, str(network.netmask)]
    hub += ["--client-config-dir", str(addresses), "--keepalive", "10", "60"]
    start(lab, SERVER, ["openvpn", *_common(folder, SERVER), *hub])
    await_words(lab, SERVER, READY)
    for member in lab.spec.members:
        client = ["--client", "--nobind", "--proto", "udp4" if transport == "udp" else "tcp4-client"]
        client += ["--remote", outside_of_server(lab), str(PORT)]
        start(lab, member.identity, ["openvpn", *_common(folder, member.identity), *client])
    for member in lab.spec.members:
        await_words(lab, member.identity, READY)


def _common(folder: Path, node: str) -> list[str]:
    files = ["--ca", f"{folder}/ca.crt", "--cert", f"{folder}/{node}.crt", "--key", f"{folder}/{node}.key"]
    device = ["--dev", "ovpn", "--dev-type", "tun", "--topology", "subnet", "--disable-dco"]
    return [*device, *files, "--data-ciphers", "AES-256-GCM", "--verb", "3", "--suppress-timestamps"]


class _Authority:
    """A certificate authority of two days, whose own key nobody keeps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("bench")
        (folder / "ca.crt").write_bytes(_pem(self._signed(self._name, self._key.public_key(), is_authority=True)))

    def certify(self, node: str) -> None:
        """Write a node's certificate and private key."""
        key = ec.generate_private_key(ec.SECP256R1())
        (self._folder / f"{node}.crt").write_bytes(
            _pem(self._signed(_name(node), key.public_key(), is_authority=False))
        )
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self._folder / f"{node}.key").write_bytes(key.private_bytes(*form))

    def _signed(self, subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - VALID)
            .not_valid_after(now + VALID)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


PROGRAMS = {"openvpn": "openvpn"}
OPENVPN_UDP = Peer("openvpn-udp", "OpenVPN as a hub, AES-256-GCM over UDP", PROGRAMS, partial(bring_up, "udp"))
OPENVPN_TCP = Peer("openvpn-tcp", "OpenVPN as a hub, AES-256-GCM over TCP", PROGRAMS, partial(bring_up, "tcp"))
