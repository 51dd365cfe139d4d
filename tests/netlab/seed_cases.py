"""What a user of the seed types, in a laboratory.

Files and commands stand here as the seed's documentation has them (`rustun serve` for its server, `rustun connect` for
its client). Two things are added where several clients share one /run: the path of the control socket, and nothing
else. The members are those of the seed's examples; one host stands in an office LAN of each cluster.
"""

from __future__ import annotations

import json
import re
import select
import signal
import sys
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from time import monotonic

from netlab.bench import measure
from netlab.lab import Files, Laboratory
from netlab.processes import Document, NodeProcess
from netlab.statuses import read_status
from netlab.topology import SERVER, HostSpec, LabSpec, MemberSpec
from netlab.worlds.own_world import hide_journals, run_in_own_world

BJ_GW, BJ_DEV, SH_GW, SH_DB = "bj-office-gw", "bj-dev-server", "sh-office-gw", "sh-db-server"
REMOTE, IN_OFFICE = "192.0.2.100", "192.168.1.100"  # the server's addresses in the seed's examples
BJ_HOST, SH_HOST = "192.168.1.7", "192.168.10.7"
LANS = {BJ_GW: ("192.168.1.0/24", "192.168.2.0/24"), SH_GW: ("192.168.10.0/24",)}
MEMBERS = (
    ("beijing", BJ_GW, "10.0.1.1"),
    ("beijing", BJ_DEV, "10.0.1.2"),
    ("shanghai", SH_GW, "10.0.2.1"),
    ("shanghai", SH_DB, "10.0.2.2"),
)
DEFAULT_SERVER_SOCKET, DEFAULT_CLIENT_SOCKET = Path("/run/rustun/server.sock"), Path("/run/rustun/client-rustun0.sock")
PATIENCE_S = 30.0  # only reached where something hangs
SILENT = "closed without a word: wrong key"
CHACHA, AES = ('[crypto_config]\nchacha20poly1305 = "{}"\n', '[crypto_config]\naes256 = "{}"\n')
XOR, PLAIN = ('[crypto_config]\nxor = "{}"\n', 'crypto_config = "plain"\n')


class Site:
    """The wired machines of the seed's examples, with no process yet; what is typed runs in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        (self.folder / "etc").mkdir(parents=True)
        (self.folder / "etc" / "routes.json").write_text(json.dumps(_routes(), indent=2))
        members = tuple(_member(*member) for member in MEMBERS)
        hosts = (HostSpec("bj-host", BJ_GW, (ip_address(BJ_HOST),)), HostSpec("sh-host", SH_GW, (ip_address(SH_HOST),)))
        spec = LabSpec(name, (REMOTE, IN_OFFICE), members, hosts)
        sockets = Path("/run", name)
        sockets.mkdir()
        self.lab = Laboratory(spec, Files(self.folder, self.folder, sockets))
        for gateway in {host.behind for host in spec.hosts}:  # by hand, as with the seed: no file says `gateway`
            self.lab.namespaces[gateway].run(partial(Path("/proc/sys/net/ipv4/ip_forward").write_text, "1"))

    def serve(self, crypto: str, control: Path = DEFAULT_SERVER_SOCKET) -> None:
        """Write etc/server.toml as the seed has it and type `rustun serve etc/server.toml`."""
        tables = ['[server_config]\nlisten_addr = "0.0.0.0:8080"\n', crypto]
        tables.sort(key=lambda table: table.startswith("["))  # a bare key stands before the tables
        tables.append('[route_config]\nroutes_file = "./etc/routes.json"\n')
        (self.folder / "etc" / "server.toml").write_text("\n".join(tables))
        options = () if control == DEFAULT_SERVER_SOCKET else ("--control", str(control))
        self._type(SERVER, "serve", "etc/server.toml", *options)
        self.until(control, lambda status: status["members"] == len(MEMBERS))

    def connect(self, identity: str, *options: str, server: str = REMOTE, at: str = "") -> Path:
        """Type `rustun connect -s SERVER -i IDENTITY ...` at that member; return the control socket."""
        control = self.lab.files.sockets / f"{at or identity}.sock"
        places = ("--control", str(control), "--state-dir", str(control.with_suffix(".state")))
        self._type(at or identity, "connect", "-s", f"{server}:8080", "-i", identity, *options, *places)
        return control

    def connect_as_typed(self, identity: str) -> Path:
        """Type the seed's command and nothing more; what it keeps in /var/lib is gone with this world."""
        hide_journals()
        self._type(identity, "connect", "-s", f"{REMOTE}:8080", "-i", identity)
        return DEFAULT_CLIENT_SOCKET

    def refused(self, identity: str, at: str) -> tuple[int | None, str]:
        """Type a connect that ends by itself; return its exit code and what it said."""
        self.connect(identity, at=at)
        process = self.lab.processes.pop(at)
        words_file = process.log
        code = process.reap(monotonic() + PATIENCE_S)
        return code, words_file.read_text()

    def until(self, control: Path, holds: Callable[[Document], object]) -> Document:
        """Return the first status document that is as wanted."""
        found: list[Document] = []

        def look() -> bool:
            document = read_status(control)
            found[:] = [document] if document is not None and holds(document) else []
            return bool(found)

        self.lab.wait_until(look, f"{control} is not as wanted: {read_status(control)}", PATIENCE_S)
        return found[0]

    def online(self, *controls: Path) -> list[Document]:
        """Return the documents of clients once each has a session and a route to its network."""
        return [self.until(path, lambda status: status["state"] == "online" and status["routes"]) for path in controls]

    def ping(self, sender: str, address: str, echoes: int = 3) -> float:
        """Return which part of the echoes stayed without a reply."""
        return measure.trips(self.lab, measure.Path(sender, "", address), echoes=echoes).lost

    def said(self, node: str) -> str:
        """Return what the process of a node said on its terminal."""
        return self.lab.processes[node].log.read_text()

    def _type(self, node: str, *words: str) -> NodeProcess:
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "rustun", *words]
        log = self.folder / f"{node}.log"
        log.unlink(missing_ok=True)
        process = NodeProcess(node, self.lab.namespaces[node], command, self.folder, log)
        self.lab.processes[node] = process
        return process


def _routes() -> list[dict[str, object]]:
    return [
        {
            "cluster": cluster,
            "identity": identity,
            "private_ip": address,
            "mask": "255.255.255.0",
            "gateway": address.rpartition(".")[0] + ".254",
            "ciders": list(LANS.get(identity, ())),
        }
        for cluster, identity, address in MEMBERS
    ]


def _member(cluster: str, identity: str, address: str) -> MemberSpec:
    ciders = tuple(ip_network(lan) for lan in LANS.get(identity, ()))
    return MemberSpec(identity, cluster, (ip_interface(f"{address}/24"),), ciders, identity)


def typed_as_in_the_seed(folder: Path) -> None:
    """Rows: server.toml with chacha20poly1305, connect with the default method, pings inside and across, keepalives."""
    site = Site(folder, "seed")
    site.serve(CHACHA.format("rustun"))
    assert re.search(r"listening on 0\.0\.0\.0:8080", site.said(SERVER))
    assert "working directory" in site.said(SERVER), "the log does not say which routes.json was taken"
    controls = [site.connect_as_typed(BJ_GW), site.connect(BJ_DEV)]
    controls.append(site.connect(SH_GW, "--keepalive-interval", "10", "--keepalive-threshold", "5"))
    controls.append(site.connect(SH_DB, "--keepalive-interval", "1", "--keepalive-threshold", "2"))
    documents = site.online(*controls)
    assert {(document["tier"], document["cipher"]) for document in documents} == {("shared", "chacha20")}, documents
    assert [document["addresses"] for document in documents] == [[f"{address}/24"] for _, _, address in MEMBERS]
    for sender, inside, across in ((BJ_GW, "10.0.1.2", "10.0.2.2"), (SH_GW, "10.0.2.2", "10.0.1.2")):
        assert site.ping(sender, inside) == 0
        assert site.ping(sender, across) == 1, f"{sender} reached {across}, which is another cluster's"
        assert site.ping(sender, inside) == 0, "nobody answers any more: the silence across proves nothing"
    assert site.ping(BJ_DEV, BJ_HOST) == site.ping(SH_DB, SH_HOST) == site.ping("sh-host", "10.0.2.2") == 0
    _notices_silence(site, controls[3])
    assert site.lab.close() == []


def _notices_silence(site: Site, hasty: Path) -> None:
    """A server that stands still is given up after interval x threshold, here 2 s, and taken back when it goes on."""
    began = monotonic()
    site.lab.processes[SERVER].signal(signal.SIGSTOP)
    lost = site.until(hasty, lambda status: status["state"] not in ("online", "unproven"))
    took = monotonic() - began
    site.lab.processes[SERVER].signal(signal.SIGCONT)
    assert 0.9 < took < PATIENCE_S / 2, took
    assert lost["last_error"]
    site.online(hasty)


def refused_and_retried(folder: Path) -> None:
    """Rows: an unknown identity, a wrong key, another method; and the seed's "connection refused"."""
    site = Site(folder, "refused")
    waiting = site.connect(SH_GW)  # before there is any server
    site.until(waiting, lambda status: "refused" in status["last_error"] and status["reconnects"] == 0)
    site.serve(CHACHA.format("my-secret-key"))
    wrong_key, wrong_method = site.connect(BJ_GW), site.connect(BJ_DEV, "-c", "aes256:another")
    right = site.connect(SH_DB, "-c", "chacha20:my-secret-key")
    for control in (wrong_key, wrong_method, waiting):
        document = site.until(control, lambda status: SILENT in status["last_error"])
        assert document["state"] in ("waiting", "connecting", "handshaking"), document
    site.online(right)
    ended = site.lab.processes.pop(SH_DB)
    ended.signal(signal.SIGTERM)
    assert ended.reap(monotonic() + PATIENCE_S) == 0
    _is_retried(site, wrong_key)
    _starts_anew_with_the_default_key(site, waiting, wrong_key)
    code, words = site.refused("client-001", at=SH_DB)
    assert code == 69, (code, words)
    assert 'does not know "client-001"' in words
    assert "unknown identity" in words
    assert site.lab.close() == []


def _is_retried(site: Site, control: Path) -> None:
    """A wrong key may be mended on the server: the client tries again, by itself."""
    tries = site.said(BJ_GW).count(SILENT)
    deadline = monotonic() + PATIENCE_S
    while site.said(BJ_GW).count(SILENT) == tries and monotonic() < deadline:
        site.until(control, lambda status: status["next_try_s"] is not None)
        select.select((site.lab.processes[BJ_GW],), (), (), 0.1)
    assert site.said(BJ_GW).count(SILENT) > tries, site.said(BJ_GW)


def _starts_anew_with_the_default_key(site: Site, *controls: Path) -> None:
    """With the server's key mended to "rustun", the same clients come in by themselves."""
    server = site.lab.processes.pop(SERVER)
    server.signal(signal.SIGTERM)
    assert server.reap(monotonic() + PATIENCE_S) == 0
    site.serve(CHACHA.format("rustun"))
    site.online(*controls)


def four_methods(folder: Path) -> None:
    """Rows: server.toml with each method, -c with each method; xor and plain warn loudly."""
    methods = (
        ("chacha", CHACHA.format("my-secret-key"), "chacha20:my-secret-key", ("shared", "chacha20"), ""),
        ("aes", AES.format("my-secret-key"), "aes256:my-secret-key", ("shared", "aes256"), ""),
        ("xor", XOR.format("rustun"), "xor:rustun", ("legacy", "xor"), "xor protects nothing"),
        ("xor-test", XOR.format("test-key"), "xor:test-key", ("legacy", "xor"), "xor protects nothing"),
        ("plain", PLAIN, "plain", ("legacy", "plain"), "plain protects nothing"),
    )
    for name, crypto, option, spoken, warning in methods:
        site = Site(folder, name)
        site.serve(crypto, site.lab.control(SERVER))
        one, two = site.connect(SH_GW, "-c", option), site.connect(SH_DB, "-c", option)
        for document in site.online(one, two):
            assert (document["tier"], document["cipher"]) == spoken, (option, document)
        assert site.ping(SH_GW, "10.0.2.2") == 0, option
        said = [json.loads(line) for line in site.said(SERVER).splitlines()]
        warned = [one["message"] for one in said if one["level"] == "warning" and "protects nothing" in one["message"]]
        assert bool(warned) == bool(warning), site.said(SERVER)
        assert all(warning in message for message in warned)
        assert site.lab.close() == []


def the_server_inside_a_peers_lan(folder: Path) -> None:
    """Row: the server's address lies inside a peer's ciders; the path to it stays outside the tunnel."""
    site = Site(folder, "inside")
    site.serve(CHACHA.format("rustun"))
    office, away = site.connect(BJ_GW, server=REMOTE), site.connect(BJ_DEV, server=IN_OFFICE)
    site.online(office)
    document = site.until(away, lambda status: "192.168.1.0/24" in status["routes"])
    assert document["remote"] == f"{IN_OFFICE}:8080"
    assert site.ping(BJ_DEV, "10.0.1.1", echoes=100) == 0
    assert site.ping(BJ_DEV, BJ_HOST) == 0, "the rest of that LAN is not reached by the tunnel"
    found = measure.throughput(site.lab, measure.Path(BJ_DEV, "bj-host", BJ_HOST), streams=1, seconds=0.3)
    assert found.gigabits > 0.01
    after = site.until(away, lambda status: status["state"] == "online")
    assert after["reconnects"] == document["reconnects"], "the transport went into its own tunnel"
    assert site.ping("bj-host", "10.0.1.2") == 0
    assert site.lab.close() == []


CASES: dict[str, Callable[[Path], None]] = {
    case.__name__: case
    for case in (typed_as_in_the_seed, refused_and_retried, four_methods, the_server_inside_a_peers_lan)
}


def inside(name: str, folder: str) -> int:
    """Run one case in a world of its own."""
    return run_in_own_world(lambda: CASES[name](Path(folder)), Path(folder))
