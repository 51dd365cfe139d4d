"""`python -m rustun.web`: the web process, started by `rustun serve` and `rustun connect`, or by hand.

python -m rustun.web --control /run/rustun/server.sock --config server.toml --listen 127.0.0.1:8081
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import click

from rustun.backends.base import Endpoint
from rustun.backends.process import die_with_parent, harden, spare_the_collector
from rustun.backends.rights import leave_root
from rustun.cli.failures import run_command
from rustun.config.addresses import parse_listen
from rustun.config.findings import Complaint
from rustun.config.web import WebConfig, load_web_config
from rustun.errors import HostError
from rustun.log_output import log_output
from rustun.logs import Log, LogFormat, RateLimited
from rustun.web.app import dashboard_app, metrics_app, seed_app
from rustun.web.door import Connections, Door, sweep_for_ever
from rustun.web.editor import Editor
from rustun.web.source import Source
from rustun.web.sync import run_agent

FILE: Final = click.Path(path_type=Path)
LOOPBACK: Final = "127.0.0.1"


def _endpoint(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[Endpoint, ...]:
    try:
        return tuple(parse_listen(text) for text in texts)
    except Complaint as complaint:
        raise click.BadParameter(f"{complaint.reason}; {complaint.remedy}") from None


def _judge(config: WebConfig) -> None:
    """Refuse what is only wrong in what was typed. Raises: HostError."""
    if not config.wanted:
        raise HostError("there is nothing to serve", "name --listen, --metrics-listen or --http-port")
    is_open = any(not ip_address(one.host).is_loopback for one in config.metrics_listen)
    if config.token is None and (config.listen or is_open):
        raise HostError("there is no token", "name a --config FILE with [dashboard_config] token_file")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--control", type=FILE, metavar="PATH", help="Control socket of the tunnel's process.")
@click.option("--door", type=int, metavar="FD", help="Instead of --control: descriptor that takes connections.")
@click.option("--config", type=FILE, metavar="FILE", help="A server.toml or client.toml: tokens, names, addresses.")
@click.option("--client", is_flag=True, help="The process is a client, and the file a client.toml.")
@click.option("--listen", multiple=True, callback=_endpoint, metavar="ADDR:PORT", help="Of the dashboard.")
@click.option("--metrics-listen", multiple=True, callback=_endpoint, metavar="ADDR:PORT", help="Of /metrics alone.")
@click.option("--http-port", type=click.IntRange(1, 65535), metavar="PORT", help="Of the seed's pages, at 127.0.0.1.")
@click.option("--parent", type=int, metavar="PID", help="End when the process that started this one does.")
@click.option("-v", "--verbose", "verbosity", count=True, help="Log more; -vv adds tracebacks of errors.")
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), default="auto", show_default=True)
def main(
    control: Path | None,
    door: int | None,
    config: Path | None,
    client: bool,
    parent: int | None,
    verbosity: int,
    log_format: LogFormat,
    **typed: Any,
) -> None:
    """Serve dashboard, figures and the seed client's pages for the process behind a control socket."""
    if (control is None) == (door is None):
        raise click.UsageError("name one of --control PATH and --door FD")
    way = control or socket.socket(fileno=door)

    def work() -> int:
        harden()
        listen = typed["listen"]
        read = load_web_config(config, listen, client=client) if config is not None else WebConfig(listen=listen)
        settings = replace(read, **{key: value for key, value in typed.items() if value})
        _judge(settings)
        who = leave_root()  # what only root may read is read
        if parent is not None:
            die_with_parent(parent)
        asyncio.run(serve(settings, Source(way), who, verbosity, log_format))
        return 0

    sys.exit(run_command("rustun.web", verbosity, work))


async def serve(config: WebConfig, source: Source, who: str, verbosity: int, log_format: LogFormat) -> None:
    """Serve until SIGTERM or SIGINT. Raises: RustunError: it cannot listen."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    output = log_output(log_format, verbosity, sys.stderr, os.environ)
    log = Log(time.time, RateLimited(output, loop.time, loop.call_at))
    connections = Connections(loop.time)
    doors = [
        Door(endpoints, make(config, source, log, connections))
        for endpoints, make in (
            (config.listen, dashboard_app),
            (config.metrics_listen, metrics_app),
            ((Endpoint(LOOPBACK, config.http_port),) if config.http_port else (), seed_app),
        )
        if endpoints
    ]
    tasks: list[asyncio.Task[None]] = [asyncio.create_task(sweep_for_ever(connections))]
    if config.control_plane is not None:
        tasks.append(asyncio.create_task(run_agent(config.control_plane, Editor(source, log), source, log)))
    log.event("info", "web-rights", f"the web process {who}")
    try:
        for door in doors:
            for endpoint in await door.open():
                log.event("info", "web-listening", f"listening on http://{endpoint}", endpoint=endpoint)
        spare_the_collector()
        await stopped.wait()
    finally:
        for task in tasks:
            task.cancel()
        for door in doors:
            await door.close()
        log.close()


if __name__ == "__main__":
    main()
