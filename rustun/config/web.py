"""What the web process of a server or a client listens on, and who may ask it what.

Rules of this module
  1. Nothing here is read by the tunnel itself: a process without these keys has no web process.
  2. Without a token only this host may ask, and only for figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from rustun.backends.base import Endpoint
from rustun.config.addresses import parse_endpoint, parse_listen
from rustun.config.conf_agent import ControlPlane, read_conf_agent
from rustun.config.credentials import note_credential
from rustun.config.findings import Complaint
from rustun.config.keys import Secret, read_key_file
from rustun.config.listeners import DASHBOARD, FIGURES, MEMBERS, Listening, report_clashes
from rustun.config.toml import Table, read_toml
from rustun.printable import quoted

MIN_TOKEN_CHARACTERS: Final = 16  # of a good alphabet nobody guesses that
HOW_TO_MAKE_A_TOKEN: Final = "run: rustun keygen --token --out dashboard.token, and name that file"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what a header can carry (RFC 6750, section 2.1)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """[dashboard_config], and what [admin_config] says of the web process.

    Attributes:
        listen: where the dashboard and its API are; port 0 lets the kernel choose.
        metrics_listen: where /metrics is besides, alone.
        http_port: of the seed client's pages at 127.0.0.1; 0 for none.
        token: lets read; None: nobody may, but /metrics at an address of this host.
        management_token: lets read and change.
        hosts: names under which the dashboard may be asked for, besides localhost and its own addresses.
        member_labels: whether /metrics has lines for single members.
        control_plane: where members come from ([conf_agent]), if not from whoever writes routes.json.
    """

    listen: tuple[Endpoint, ...] = ()
    metrics_listen: tuple[Endpoint, ...] = ()
    http_port: int = 0
    token: Secret | None = None
    management_token: Secret | None = None
    hosts: tuple[str, ...] = ()
    member_labels: bool = True
    control_plane: ControlPlane | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.listen or self.metrics_listen or self.http_port or self.control_plane)


def load_web_config(path: Path, listen: tuple[Endpoint, ...] = (), *, client: bool = False) -> WebConfig:
    """Read of a server.toml or client.toml what the web process needs, and nothing else.

    Args:
        listen: of the dashboard, typed; over what the file says.
        client: whether the file is a client.toml.
    Raises: ConfigError with every problem of these tables.
    """
    top = read_toml(path)
    config = read_web(top, top.table("admin_config"), path.parent, listen, client=client)
    if not client:
        judge_listeners(top, top.table("server_config").texts("listen_addr", parse_listen), config, typed=bool(listen))
    top.findings.finish()
    return config


def read_web(
    top: Table, admin: Table, folder: Path, listen: tuple[Endpoint, ...] = (), *, client: bool = False
) -> WebConfig:
    """Return what `top` and its [admin_config] say of the web process.

    A client has figures and the seed's pages; a server figures, the dashboard, and a control plane of its own.

    Args:
        folder: that names of files are relative to.
        listen, client: as of `load_web_config`.
    """
    table = top.table("dashboard_config")
    config = WebConfig(
        metrics_listen=admin.texts("metrics_listen", parse_listen),
        token=_read_token(table, "token_file", folder),
        hosts=table.texts("hosts", parse_web_host),
        member_labels=table.flag("member_labels", True),
    )
    if client:
        config = replace(config, http_port=admin.whole("http_port", 0, 0, 65535))
    else:
        written = table.texts("listen", parse_listen)
        management_token = _read_token(table, "management_token_file", folder)
        control_plane = read_conf_agent(top, folder)
        config = replace(
            config, listen=listen or written, management_token=management_token, control_plane=control_plane
        )
    table.close()
    _judge(config, table, admin)
    return config


def judge_listeners(top: Table, members: tuple[Endpoint, ...], config: WebConfig, *, typed: bool) -> None:
    """Report what a server cannot listen on because it listens there for something else.

    Args:
        members: where members connect.
        typed: whether the dashboard's addresses were, over what the file says.
    """
    option = "--dashboard" if typed else ""
    report_clashes(
        (
            Listening(MEMBERS, top.table("server_config"), "listen_addr", members),
            Listening(DASHBOARD, top.table("dashboard_config"), "listen", config.listen, option),
            Listening(FIGURES, top.table("admin_config"), "metrics_listen", config.metrics_listen),
        )
    )


def _judge(config: WebConfig, table: Table, admin: Table) -> None:
    if "token_file" not in table and config.listen:
        table.report("token_file", "is missing: nobody could log in", HOW_TO_MAKE_A_TOKEN)
    if "token_file" not in table:
        for endpoint in config.metrics_listen:
            if not ip_address(endpoint.host).is_loopback:
                reason = f"{endpoint} is open to other hosts, and there is no token"
                remedy = "write 127.0.0.1, or [dashboard_config] token_file"
                admin.report("metrics_listen", reason, remedy, value=str(endpoint))
    if config.token is not None and config.token == config.management_token:
        table.report("management_token_file", "holds the same token as token_file", HOW_TO_MAKE_A_TOKEN)


def read_token(path: Path) -> Secret:
    """Read a token's file. Raises: Complaint, as `read_key_file`, or it holds none."""
    token = read_key_file(path)
    written = token.reveal()
    if len(written) < MIN_TOKEN_CHARACTERS or not _TOKEN.fullmatch(written):
        reason = f"holds no token: at least {MIN_TOKEN_CHARACTERS} characters, letters, digits and ._~+/=- only"
        raise Complaint(reason, "write one into it, on one line")
    return token


def _read_token(table: Table, key: str, folder: Path) -> Secret | None:
    def read(text: str) -> Secret | None:
        if not text:
            raise Complaint("is empty", HOW_TO_MAKE_A_TOKEN)
        token = read_token(folder / text)
        note_credential(table, key, folder / text, text)
        return token

    return table.text(key, read, None)


def parse_web_host(text: str) -> str:
    """Return a name or an address under which people ask for the dashboard. Raises: Complaint."""
    try:
        return parse_endpoint(f"[{text}]:1" if text.count(":") > 1 else f"{text}:1").host.lower().removesuffix(".")
    except Complaint:
        raise Complaint(
            f"{quoted(text)} is no host's name", 'write the name alone, without port, as in "vpn.example.com"'
        ) from None
