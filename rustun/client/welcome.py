"""From an accepted handshake to a session and to what the server says of this member."""

from __future__ import annotations

from dataclasses import replace

from rustun.backends.base import Stream
from rustun.client.handshake import NoiseAccepted, SeedAccepted
from rustun.client.noise_session import ClientNoiseSession
from rustun.client.peers import OwnEntry, Peers, own_entry
from rustun.client.seed_session import ClientSeedSession, seed_entries
from rustun.client.session import ClientSession, Owner, Tools
from rustun.config.client import ClientConfig
from rustun.protocol.codec import RecordCodec
from rustun.protocol.rekey import RekeyClient


def open_session(
    tools: Tools,
    stream: Stream,
    accepted: NoiseAccepted | SeedAccepted,
    owner: Owner,
    config: ClientConfig,
    peers: Peers,
) -> tuple[OwnEntry, ClientSession]:
    """Return what is known of this member, and its session, which has not begun.

    Raises: ProtocolError when the server's answer makes no sense.
    """
    if isinstance(accepted, SeedAccepted):
        reply = accepted.reply
        own = own_entry(reply.name, f"{reply.private_ip}/{reply.mask}", "", reply.ciders, reply.cider_mapping)
        peers.replace(seed_entries(reply.peer_details))
        method = config.method.value if config.method is not None else ""
        return own, ClientSeedSession(
            tools,
            stream,
            accepted.codec,
            owner,
            accepted.held,
            identity=config.identity,
            cipher_name=method,
            peers=peers,
        )
    welcome, keys = accepted.welcome, accepted.keys
    known = peers.own
    own = own_entry(welcome.name, welcome.address, welcome.address6, ())
    if known is not None:  # the LANs as they are now come with the first config record
        own = replace(own, offered=known.offered, mapping=known.mapping)
    session = ClientNoiseSession(
        tools,
        stream,
        RecordCodec(welcome.cipher, keys, is_client=True, now=tools.reactor.now()),
        owner,
        accepted.held,
        credentials=accepted.credentials,
        rekey=RekeyClient(accepted.credentials, keys.handshake_hash),
        peers=peers,
    )
    session.server_version = welcome.version
    return own, session
