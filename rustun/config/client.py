"""client.toml and the options of `rustun connect`: two spellings of one record.

The file is read first, options go over it, and only the sum must be complete. Both pass the same converters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from rustun.backends.base import Endpoint
from rustun.config.addresses import parse_endpoint
from rustun.config.consent import HostConsent, judge_consent, parse_lan, read_consent
from rustun.config.credentials import note_credential
from rustun.config.crypto import Crypto, parse_crypto, read_crypto, read_crypto_file
from rustun.config.findings import Complaint, Findings
from rustun.config.keys import PrivateKey, Secret, encode_key, parse_public_key, read_psk
from rustun.config.kinds import refuse_server
from rustun.config.listeners import FIGURES, SEED_PAGES, Listening, report_clashes
from rustun.config.names import parse_device, parse_name
from rustun.config.server import CIPHERS, read_private_keys
from rustun.config.toml import Table, parse_toml, read_toml
from rustun.config.web import WebConfig, read_web
from rustun.errors import Problem
from rustun.printable import printable
from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.tiers import Tier

DEFAULT_CRYPTO: Final = "chacha20:rustun"  # the seed's
MIN_MTU: Final = 576  # RFC 791; IPv6 needs 1280
MAX_MTU: Final = 65000
USUAL_MTU: Final = 1500
LEGACY_MTU: Final = 1430  # the seed's TUN devices have it
OPTIONS_PLACE: Final = "rustun connect"  # where problems of options are, instead of a file
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server that may be tried, with the keys that it may prove (key tier; one, or two during a rotation)."""

    endpoint: Endpoint
    public_keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """All that a client was told; `cipher` is empty and `mtu` None where nothing was written."""

    identity: str = ""
    servers: tuple[ServerAddress, ...] = ()
    method: SeedMethod | None = None
    key: Secret | None = None
    cipher: str = ""
    private_keys: tuple[PrivateKey, ...] = ()
    psk: Secret | None = None
    keepalive_interval: int = 10  # seconds
    keepalive_threshold: int = 5  # intervals without an answer
    tun_name: str = "rustun0"
    mtu: int | None = None
    offload: bool = True
    legacy: bool = False
    host: HostConsent = HostConsent()
    web: WebConfig = WebConfig()
    notes: tuple[Problem, ...] = ()

    @property
    def tier(self) -> Tier:
        """Return the only tier that this client speaks."""
        if self.legacy:
            return Tier.LEGACY
        return Tier.KEY if self.private_keys else Tier.SHARED

    @property
    def tun_mtu(self) -> int:
        """Return the MTU of the TUN device in bytes, written or usual for the tier."""
        return self.mtu or (LEGACY_MTU if self.legacy else USUAL_MTU)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Options of `rustun connect` as they were typed; None where one was not."""

    server: str | None = None
    identity: str | None = None
    crypto: str | None = None
    crypto_file: str | None = None
    keepalive_interval: int | None = None
    keepalive_threshold: int | None = None
    tun: str | None = None
    mtu: int | None = None
    offload: bool | None = None
    legacy: bool | None = None
    gateway: tuple[str, ...] = ()
    masq: bool | None = None
    http_port: int | None = None


NO_OPTIONS: Final = ClientOptions()


def load_client_config(
    path: Path, options: ClientOptions = NO_OPTIONS, *, errors_only: bool = False, judged: set[str] | None = None
) -> ClientConfig:
    """Read a client.toml and put options over it.

    Args:
        errors_only: there are no notes.
        judged: as of `read_key_file`, for who reads many files at once.
    Raises: ConfigError with every problem of both.
    """
    top = read_toml(path)
    refuse_server(top, str(path))
    top.findings.errors_only = errors_only
    config = read_client_config(top, path.parent, judged)
    if options != NO_OPTIONS:
        config = _with_options(config, options, top.findings)
    return _complete(config, top, f"write it into {printable(str(path), 200)}, or type")


def client_config_from_options(options: ClientOptions) -> ClientConfig:
    """Return the record of options alone, with what the seed's client has by default: method, key, and LANs as told.

    Raises: ConfigError with every problem.
    """
    top = parse_toml(OPTIONS_PLACE, "")
    if options.crypto is None and options.crypto_file is None:
        options = replace(options, crypto=DEFAULT_CRYPTO)
    config = ClientConfig(host=HostConsent(as_told=not options.gateway))
    return _complete(_with_options(config, options, top.findings), top, "type")


def read_client_config(top: Table, folder: Path, judged: set[str] | None = None) -> ClientConfig:
    """Return what the outermost table of a client.toml says, without what only the whole can be judged by.

    Args:
        folder: what the files that it names are relative to.
        judged: as of `read_key_file`.
    """
    usual = ClientConfig()
    crypto = read_crypto(top, folder)
    security = top.table("security_config")
    tunnel = top.table("tunnel_config")
    tunnel.known("mtu")
    admin = top.table("admin_config")
    config = ClientConfig(
        identity=top.text("identity", parse_name, ""),
        servers=tuple(_read_servers(top)),
        method=crypto.method if crypto else None,
        key=crypto.key if crypto else None,
        cipher=security.choice("cipher", CIPHERS, ""),
        private_keys=read_private_keys(security, folder, judged),
        psk=_read_psk(security, folder, judged),
        keepalive_interval=top.whole("keepalive_interval", usual.keepalive_interval, 1, 3600),
        keepalive_threshold=top.whole("keepalive_threshold", usual.keepalive_threshold, 1, 100),
        tun_name=tunnel.text("name", parse_device, usual.tun_name),
        mtu=tunnel.whole("mtu", USUAL_MTU, MIN_MTU, MAX_MTU) if "mtu" in tunnel else None,
        offload=tunnel.flag("offload", True),
        legacy=tunnel.flag("legacy"),
        host=read_consent(top.table("host_config")),
        web=read_web(top, admin, folder, client=True),
    )
    for table in (security, tunnel, admin, top):
        table.close()
    return config


def _read_servers(top: Table) -> list[ServerAddress]:
    servers = []
    for table in top.tables("servers", '{ address = "vpn.example.com:8080" }'):
        endpoint = table.text("address", parse_endpoint, None)
        keys = table.texts("public_key", parse_public_key, most=2)
        table.close()
        if endpoint is not None:
            servers.append(ServerAddress(endpoint, keys))
        else:
            table.missing("address", 'write { address = "vpn.example.com:8080" }')
    return servers


def _read_psk(security: Table, folder: Path, judged: set[str] | None) -> Secret | None:
    def read(text: str) -> Secret | None:
        if not text:
            return None
        psk = read_psk(folder / text, judged)
        note_credential(security, "psk_file", folder / text, text)
        return psk

    return security.text("psk_file", read, None)


def _with_options(config: ClientConfig, options: ClientOptions, findings: Findings) -> ClientConfig:
    reader = _OptionReader(Findings(OPTIONS_PLACE))
    endpoint = reader.text("--server", options.server, parse_endpoint)
    identity = reader.text("--identity", options.identity, parse_name)
    crypto = _option_crypto(reader, options)
    interval = reader.whole("--keepalive-interval", options.keepalive_interval, 1, 3600)
    threshold = reader.whole("--keepalive-threshold", options.keepalive_threshold, 1, 100)
    tun = reader.text("--tun", options.tun, parse_device)
    mtu = reader.whole("--mtu", options.mtu, MIN_MTU, MAX_MTU)
    http_port = reader.whole("--http-port", options.http_port, 1, 65535)
    lans = [reader.text("--gateway", text, parse_lan) for text in options.gateway]
    findings.take(reader.findings)
    if endpoint is not None:  # a server of the file keeps the keys that the file pins
        pinned = [server for server in config.servers if server.endpoint == endpoint]
        config = replace(config, servers=tuple(pinned) or (ServerAddress(endpoint),))
    if crypto is not None:
        config = replace(config, method=crypto.method, key=crypto.key)
    return replace(
        config,
        identity=config.identity if identity is None else identity,
        keepalive_interval=interval or config.keepalive_interval,
        keepalive_threshold=threshold or config.keepalive_threshold,
        tun_name=tun or config.tun_name,
        mtu=mtu or config.mtu,
        offload=config.offload if options.offload is None else options.offload,
        legacy=config.legacy or bool(options.legacy),
        host=replace(
            config.host,
            gateway=tuple(lan for lan in lans if lan is not None) or config.host.gateway,
            masquerade=config.host.masquerade or bool(options.masq),
        ),
        web=replace(config.web, http_port=http_port or config.web.http_port),
    )


def _option_crypto(reader: _OptionReader, options: ClientOptions) -> Crypto | None:
    if options.crypto is not None and options.crypto_file is not None:
        reader.findings.add(0, "--crypto", "stands beside --crypto-file", "keep one of them")
    crypto = reader.text("--crypto", options.crypto, parse_crypto)
    from_file = reader.text("--crypto-file", options.crypto_file, lambda text: read_crypto_file(Path(text)))
    chosen = crypto or from_file
    for note in chosen.notes() if chosen else ():
        option = "--crypto" if crypto else "--crypto-file"
        reader.findings.add(0, option, note, "", "warning")
    return chosen


class _OptionReader:
    """Converts typed options; what is wrong with them goes into `findings`."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def text(self, option: str, value: str | None, convert: Callable[[str], T]) -> T | None:
        if value is None:
            return None
        try:
            return convert(value)
        except Complaint as complaint:
            self.findings.add(0, option, complaint.reason, complaint.remedy)
            return None

    def whole(self, option: str, value: int | None, low: int, high: int) -> int | None:
        if value is not None and not low <= value <= high:
            self.findings.add(0, option, f"is {value}, out of its range", f"{low} to {high}")
            return None
        return value


def _complete(config: ClientConfig, top: Table, how: str) -> ClientConfig:
    if config.method is not None and config.method.insecure:
        config = replace(config, legacy=True)  # xor and plain exist on the seed's wire only
    if not top.findings.failed:
        _judge(config, top, how)
    return replace(config, notes=top.findings.finish())


def _judge(config: ClientConfig, top: Table, how: str) -> None:
    tunnel = top.table("tunnel_config")
    if not config.identity:
        top.report("identity", "is missing", f"{how} -i ID")
    if not config.servers:
        top.report("servers", "is missing", f"{how} -s HOST:PORT")
    if config.legacy and config.private_keys:
        reason = "stands beside private_key_file"
        tunnel.blame("legacy", True, "--legacy", reason, "the seed's wire has no keys: keep one of them")
    _judge_keys(config, top, how)
    _judge_listeners(config.web, top)
    judge_consent(config.host, config.identity, (server.endpoint for server in config.servers), top)
    if config.mtu is not None and config.mtu < 1280:
        reason = f"{config.mtu} is too small for IPv6"
        tunnel.blame("mtu", config.mtu, "--mtu", reason, "1280 or more carries IPv6 as well", "warning")


def _judge_listeners(web: WebConfig, top: Table) -> None:
    admin = top.table("admin_config")
    option = "" if admin.values.get("http_port", 0) == web.http_port else "--http-port"
    seed = (Endpoint("127.0.0.1", web.http_port),) if web.http_port else ()
    report_clashes(
        (
            Listening(FIGURES, admin, "metrics_listen", web.metrics_listen),
            Listening(SEED_PAGES, admin, "http_port", seed, option),
        )
    )


def _judge_keys(config: ClientConfig, top: Table, how: str) -> None:
    if config.tier is Tier.KEY:
        own = {key.public for key in config.private_keys}
        for server in config.servers:
            if not server.public_keys:
                reason = f"server {server.endpoint} has no public_key, so nobody could tell it from an impostor"
                remedy = "write the server's public_key beside its address"
                top.report("servers", reason, remedy, value=str(server.endpoint))
            elif own.intersection(map(encode_key, server.public_keys)):
                reason = f"server {server.endpoint} has this member's own public_key"
                remedy = "write the server's: rustun check server.toml shows it there"
                top.report("servers", reason, remedy, value=str(server.endpoint))
        if config.method is not None:
            top.report("crypto_config", "is not used: private_key_file chooses the key tier", "", "warning")
    elif config.method is None and any(server.public_keys for server in config.servers):
        remedy = "run: rustun keygen --out client.key, and name that file in [security_config]"
        reason = "is missing: a server's public_key asks for one"
        top.table("security_config").report("private_key_file", reason, remedy)
    elif config.method is None:
        top.report("crypto_config", "is missing", f"{how} -c METHOD:KEY")
