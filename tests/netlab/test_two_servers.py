"""Two real servers, one of them killed under traffic; the witness is a plain socket that asks and is answered."""

from __future__ import annotations

import json
import signal
import socket
import threading
from pathlib import Path
from time import monotonic

from pyroute2 import IPRoute

from netlab.worlds.running import PORT, SERVER, Running, Site
from tests.netlab.private_namespace import in_private_namespace
from tests.simulation.world import public_text, write_key

SECOND = "203.0.113.8"
ADDRESSES = {"first": SERVER, "second": SECOND}
PATIENCE_S = 0.02  # for one answer
FAILOVER_S = 1.0  # the promise about a reset


def add_second_address() -> None:
    """Give this namespace the second server's address."""
    with IPRoute() as ip:
        ip.addr("add", index=1, address=SECOND, prefixlen=32)


def write_files(folder: Path) -> None:
    """Write two servers and two members of the key tier, each with keys of its own."""
    servers = []
    for name, address in ADDRESSES.items():
        key = write_key(folder, name).name
        (folder / f"{name}.toml").write_text(
            f'[server_config]\nlisten_addr = "{address}:{PORT}"\n[route_config]\nroutes_file = "routes.json"\n'
            f'[security_config]\nprivate_key_file = "{key}"\nknown_keys_file = "{name}-known.json"\n'
        )
        servers.append(f'{{ address = "{address}:{PORT}", public_key = "{public_text(name)}" }}')
    members = []
    for number in range(2):
        identity = f"m{number}"
        (folder / f"{identity}.toml").write_text(
            f'identity = "{identity}"\nservers = [{", ".join(servers)}]\n[tunnel_config]\nname = "rustun{number}"\n'
            f'[security_config]\nprivate_key_file = "{write_key(folder, identity).name}"\n'
        )
        entry = {"cluster": "beijing", "identity": identity, "private_ip": f"10.0.1.{number + 1}"}
        members.append({**entry, "mask": "255.255.255.0", "ciders": [], "public_key": public_text(identity)})
    (folder / "routes.json").write_text(json.dumps(members))


def answer(sock: socket.socket) -> None:
    """Send each datagram back until an empty one comes."""
    while True:
        data, sender = sock.recvfrom(100)
        if not data:
            return
        sock.sendto(data, sender)


def answered(sock: socket.socket, limit_s: float) -> float:
    """Ask again and again; return the seconds until an answer came to something asked since this was called."""
    began = monotonic()
    while monotonic() - began < limit_s:
        sock.sendto(question := str(monotonic()).encode(), ("10.0.1.2", 7))
        try:
            while sock.recv(100) != question:
                pass
        except TimeoutError:
            continue
        return monotonic() - began
    raise AssertionError(f"no answer within {limit_s} s")


def both_online(client: Running) -> None:
    """Return once a client has a session with each of its servers."""
    client.until(lambda found: [one["state"] for one in found["servers"]] == ["online"] * 2)


@in_private_namespace
def test_members_meet_on_the_second_server_within_a_second() -> None:
    """If this fails, a server that is killed interrupts its members, though a second one stands beside it."""
    with Site() as site:
        site.far.run(add_second_address)
        write_files(site.folder)

        def serve(name: str) -> Running:
            return site.keep(Running(name, site.folder, ["serve", f"{name}.toml"], site.far))

        first, second = serve("first"), serve("second")
        there = site.keep(Running("m1", site.folder, ["connect", "--config", "m1.toml"], site.far))
        here = site.keep(Running("m0", site.folder, ["connect", "--config", "m0.toml"]))
        for client in (there, here):
            both_online(client)
        far_socket = site.far.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with far_socket, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near_socket:
            far_socket.bind(("10.0.1.2", 7))
            near_socket.settimeout(PATIENCE_S)
            echo = threading.Thread(target=answer, args=(far_socket,))
            echo.start()
            try:
                answered(near_socket, 30.0)
                handshakes = [session["age_s"] for session in second.status()["sessions"]]
                first.end(signal.SIGKILL)
                assert answered(near_socket, 30.0) < FAILOVER_S
                ages = [session["age_s"] for session in second.status()["sessions"]]
                assert all(before < after for before, after in zip(handshakes, ages, strict=True)), "no handshake"
                first = serve("first")
                for client in (there, here):
                    both_online(client)
                while not any(session["received_packets"] for session in first.status()["sessions"]):
                    answered(near_socket, 30.0)  # and it is used again
            finally:
                near_socket.sendto(b"", ("10.0.1.2", 7))
                echo.join(1.0)
                while echo.is_alive():  # the way may be on the move
                    near_socket.sendto(b"", ("10.0.1.2", 7))
                    echo.join(0.1)
