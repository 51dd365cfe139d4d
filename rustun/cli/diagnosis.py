"""The words of the commands that find out why something does not work: ping, trace, capture, bugreport."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from rustun.cli.failures import run_command
from rustun.cli.options import FILE, control_option, json_option, verbose_option


@click.command(short_help="Measure round trips to a server and to a member.")
@click.argument("member", required=False, default="")
@click.option("-c", "--count", type=click.IntRange(1, 1_000_000), default=4, show_default=True, help="How many.")
@click.option(
    "-i", "--interval", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, metavar="SECONDS",
    help="From one to the next.",
)  # fmt: skip
@json_option
@control_option
@verbose_option
def ping(member: str, count: int, interval: float, as_json: bool, control: Path | None, verbosity: int) -> None:
    """Measure round trips: of the control plane (a session's own ping) and of the data plane, apart.

    On a client MEMBER is an identity, or an address of a member or behind one: control goes to its
    server, data is an ICMP echo through the tunnel to MEMBER; without MEMBER to the server alone. On a
    server MEMBER is an identity, and control goes to that member's client. Exit code 0 when all were
    answered, 1 when some were not.

    \b
    Examples:
      rustun ping bj-dev
      rustun ping 192.168.10.7 -c 100 -i 0.2 --json
    """

    def work() -> int:
        from rustun.cli import ping as command

        return command.ping(member, control, count, interval, as_json=as_json)

    sys.exit(run_command("rustun ping", verbosity, work))


@click.command(short_help="Find out whether a packet would pass, and why not.")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option("--by", "member", metavar="MEMBER", default="", help="Who sends it. [default: the owner of SRC]")
@click.option("--cluster", metavar="NAME", default="", help="Where SRC is, if it is somebody's in several clusters.")
@click.option("--size", type=click.IntRange(20, 65_535), default=84, show_default=True, help="Of the packet, bytes.")
@json_option
@control_option
@verbose_option
def trace(
    source: str,
    destination: str,
    member: str,
    cluster: str,
    size: int,
    as_json: bool,
    control: Path | None,
    verbosity: int,
) -> None:
    """Tell whether a packet would pass, which entry decides, and what the counters say otherwise.

    SRC and DST are addresses, or identities of members. A server tells about any two of one cluster, a
    client about what leaves or reaches its host. Nothing is sent. Exit code 0 when it would pass, 1 when
    not, 2 when there is no such member.

    \b
    Examples:
      rustun trace bj-dev 192.168.10.7
      rustun trace 192.168.1.7 sh-db --by bj-office-gw
      rustun trace 10.0.1.1 10.0.1.2 --cluster beijing --size 1500
    """

    def work() -> int:
        from rustun.cli import trace as command

        return command.trace(source, destination, member, cluster, size, control, as_json=as_json)

    sys.exit(run_command("rustun trace", verbosity, work))


@click.command(short_help="Write down packets of a member as they cross the TUN device.")
@click.argument("member", required=False, default="")
@click.option("-w", "out", type=FILE, required=True, metavar="FILE", help="A new file (pcapng); - is standard output.")
@click.option(
    "--direction", type=click.Choice(["in", "out", "both"]), default="both", show_default=True,
    help="In: out of the tunnel into this host.",
)  # fmt: skip
@click.option("-c", "--count", "packets", type=click.IntRange(1), metavar="N", help="End after so many packets.")
@click.option("--seconds", type=click.FloatRange(0.1), metavar="SECONDS", help="End after that time.")
@click.option(
    "--megabytes", type=click.IntRange(1), default=1000, show_default=True, metavar="N", help="End at this size."
)
@click.option(
    "-s", "--snaplen", "kept_bytes", type=click.IntRange(20, 131_072), default=131_072, show_default=True,
    metavar="BYTES", help="Keep so much of each packet.",
)  # fmt: skip
@control_option
@verbose_option
def capture(member: str, out: Path, control: Path | None, verbosity: int, **limits: Any) -> None:
    """Write down packets of MEMBER, or of everybody, as they cross this host's TUN device. Needs root.

    Packets are whole and unencrypted, as the kernel hands them over: up to 64 KiB, before they are cut.
    The tunnel does not notice. How many were dropped for want of room is told at the end, and stands in
    the file. Tell whoever is concerned: these are other people's words.

    \b
    Examples:
      sudo rustun capture sh-db -w sh-db.pcapng --seconds 60
      sudo rustun capture sh-db -w - | tcpdump -n -r -
    """

    def work() -> int:
        from rustun.cli import capture as command

        return command.capture(command.Wish(member, **limits), out, control)

    sys.exit(run_command("rustun capture", verbosity, work))


@click.command(short_help="Make an archive for whoever helps, without secrets.")
@click.argument("files", type=FILE, nargs=-1, metavar="[FILE]...")
@click.option("--out", type=FILE, metavar="FILE", help="The archive. [default: rustun-bugreport-TIME.tar.gz, here]")
@click.option("--list", "only_list", is_flag=True, help="Say what would go in, and write nothing.")
@control_option
@verbose_option
def bugreport(files: tuple[Path, ...], out: Path | None, only_list: bool, control: Path | None, verbosity: int) -> None:
    """Make an archive for whoever helps: status, versions, configuration, network, journal; no secrets.

    FILEs are configuration files beside those that the running processes use and those in /etc/rustun.
    Keys, tokens and passwords are taken out wherever they stand. What goes in is listed first, and
    nothing leaves this machine. As root it holds more: the journal, the firewall.

    \b
    Examples:
      sudo rustun bugreport
      rustun bugreport client.toml --out report.tar.gz
    """

    def work() -> int:
        from rustun.cli import bugreport as command

        return command.bugreport(files, out, control, only_list=only_list)

    sys.exit(run_command("rustun bugreport", verbosity, work))


DIAGNOSIS: Final = (ping, trace, capture, bugreport)
