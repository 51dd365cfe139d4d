"""The words of the command line: commands, options, help.

What a command does stands in a module of its own, imported when it runs: a relay carries no netlink, `--json` no
tables, and an import that fails (a package missing) is told like any other failure.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import rustun
from rustun.admin.health import CHECKS
from rustun.admin.order import SORT_KEYS
from rustun.cli.diagnosis import DIAGNOSIS
from rustun.cli.failures import run_command
from rustun.cli.options import FILE, control_option, json_option, log_format_option, role_of, verbose_option

if TYPE_CHECKING:
    from rustun.logs import LogFormat

SHELLS: Final = ("bash", "zsh", "fish")
SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
state_dir_option = click.option(
    "--state-dir", type=FILE, metavar="DIR", help="Where it is kept what to put back. [default: /var/lib/rustun]"
)


@click.group(context_settings=SETTINGS)
@click.version_option(rustun.__version__, "-V", "--version", prog_name="rustun", message="%(prog)s %(version)s")
def main() -> None:
    """Join sites, servers and people of many tenants through a relay.

    \b
    A relay, and a member of a tenant:
      rustun serve server.toml
      sudo rustun connect --config client.toml
    \b
    Before and after:
      rustun keygen --out client.key
      rustun check server.toml client.toml
      rustun status
      rustun ping bj-dev
      rustun trace bj-dev 192.168.10.7
    \b
    Exit codes: 0 done, 2 usage, 69 refused by the server, 77 a right is missing,
    78 configuration, 1 anything else.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that this terminal cannot show are escaped, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")


@main.command(short_help="Run the relay that members connect to.")
@click.argument("config", type=FILE, required=False)
@click.option("--dashboard", metavar="ADDR:PORT", help="Serve the dashboard there; its tokens stand in CONFIG.")
@control_option
@verbose_option
@log_format_option
def serve(
    config: Path | None, dashboard: str | None, control: Path | None, verbosity: int, log_format: LogFormat
) -> None:
    """Run the relay that members connect to. Needs no root and no TUN device.

    CONFIG is a server.toml; without it the first of ./server.toml, ./etc/server.toml and
    /etc/rustun/server.toml is taken. SIGHUP reads keys, tiers and members again (a change of the
    members' file is noticed anyway), SIGTERM and Ctrl-C stop within 2 s.

    \b
    Example server.toml:
      [server_config]
      listen_addr = "0.0.0.0:8080"
      [security_config]
      private_key_file = "/etc/rustun/server.key"
      [route_config]
      routes_file = "routes.json"
    """

    def work() -> int:
        from rustun.cli import serve as command

        return command.serve(config, dashboard, control, verbosity, log_format)

    sys.exit(run_command("rustun serve", verbosity, work))


@main.command(short_help="Join a network: make this host a member.")
@click.option("-s", "--server", metavar="HOST:PORT", help="The relay; an IPv6 address as [2001:db8::1]:8080.")
@click.option("-i", "--identity", metavar="ID", help="Who this is: an identity in the server's routes.json.")
@click.option(
    "-c",
    "--crypto",
    metavar="METHOD[:KEY]",
    help="plain, aes256:KEY, chacha20:KEY or xor:KEY. [default: chacha20:rustun]",
)
@click.option("--crypto-file", metavar="FILE", help="File (mode 0600) with one line METHOD:KEY, instead of -c.")
@click.option("--config", type=FILE, metavar="FILE", help="A client.toml; options given beside it win.")
@click.option("--keepalive-interval", type=int, metavar="SECONDS", help="[default: 10]")
@click.option("--keepalive-threshold", type=int, metavar="N", help="Silent intervals until reconnecting. [default: 5]")
@click.option("--tun", metavar="NAME", help="Name of the TUN device. [default: rustun0]")
@click.option("--mtu", type=int, metavar="BYTES", help="[default: 1500, 1430 with --legacy]")
@click.option("--gateway", metavar="PREFIX", multiple=True, help="A LAN that this host forwards for; may be repeated.")
@click.option("--masq", is_flag=True, default=None, help="Hide tunnel addresses from these LANs behind this host's.")
@click.option(
    "--no-offload",
    "offload",
    flag_value=False,
    default=None,
    help="Exchange single packets with the kernel: slower, for comparisons.",
)
@click.option("--legacy", is_flag=True, help="Speak the seed's wire: no forward secrecy, no replay protection.")
@click.option("--http-port", type=int, metavar="PORT", help="Serve /health and /status at 127.0.0.1, as the seed does.")
@click.option("--retry-refused", is_flag=True, help="Keep trying when the server refuses this client (for services).")
@state_dir_option
@click.option("--dry-run", is_flag=True, help="Print what this host would get, as commands, and leave it untouched.")
@json_option
@control_option
@verbose_option
@log_format_option
def connect(
    config: Path | None,
    retry_refused: bool,
    state_dir: Path | None,
    dry_run: bool,
    as_json: bool,
    control: Path | None,
    verbosity: int,
    log_format: LogFormat,
    **typed: Any,
) -> None:
    """Join a network: a TUN device on this host, reachable by the members of its cluster. Needs root.

    \b
    Examples:
      sudo rustun connect --config /etc/rustun/client.toml
      sudo rustun connect -s vpn.example.org:8080 -i bj-dev --crypto-file /etc/rustun/shared.key
      sudo rustun connect -s 192.0.2.100:8080 -i bj-dev -c aes256:KEY --tun work0 -v
      sudo rustun connect --config client.toml --gateway 192.168.1.0/24 --masq
      sudo rustun connect --config client.toml --dry-run
    \b
    Example client.toml:
      identity = "bj-dev"
      servers = [{ address = "vpn.example.org:8080", public_key = "..." }]
      [security_config]
      private_key_file = "/etc/rustun/client.key"
    """
    if as_json and not dry_run:
        raise click.UsageError("--json is for --dry-run; what runs is shown by: rustun status --json")

    def work() -> int:
        from rustun.cli import connect as command

        if dry_run:
            return command.dry_run(config, typed, control, state_dir, verbosity, log_format, as_json=as_json)
        return command.connect(config, typed, control, state_dir, verbosity, log_format, retry_refused=retry_refused)

    sys.exit(run_command("rustun connect", verbosity, work))


@main.command(short_help="Find what is wrong with configuration files.")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@json_option
@verbose_option
def check(files: tuple[Path, ...], as_json: bool, verbosity: int) -> None:
    """Tell everything that is wrong with server.toml, routes.json or client.toml files.

    Exit code 78 when a file cannot be used; warnings and notes alone are 0.

    \b
    Example:
      rustun check /etc/rustun/server.toml
    """

    def work() -> int:
        from rustun.cli import check as command

        return command.check(files, as_json=as_json)

    sys.exit(run_command("rustun check", verbosity, work))


@main.command(short_help="Make keys, or show the public key of a private one.")
@click.argument("file", type=FILE, required=False)
@click.option("--out", type=FILE, metavar="FILE", help="Write the key to a new file, mode 0600; print its public key.")
@click.option("--public", is_flag=True, help="Print the public key of the private key in FILE or on standard input.")
@click.option("--psk", is_flag=True, help="Make a pre-shared key, which a member and the server both have.")
@click.option("--token", is_flag=True, help="Make a token, by which people and machines log in to the dashboard.")
@json_option
@verbose_option
def keygen(
    file: Path | None, out: Path | None, public: bool, psk: bool, token: bool, as_json: bool, verbosity: int
) -> None:
    """Make keys for members and servers: X25519 in Base64, as WireGuard has them.

    A private key stays on its host (private_key_file). The public one goes to the other side:
    a member's into its entry of routes.json, the server's into the members' client.toml, as
    public_key. Without --out the key goes to standard output, and no public key is shown. FILE is
    for --public only; - is standard input.

    \b
    Examples:
      rustun keygen --out /etc/rustun/client.key
      rustun keygen --public /etc/rustun/client.key
      rustun keygen --public < client.key
      rustun keygen --psk --out bj-dev.psk
      rustun keygen --token --out dashboard.token
    """
    if out is not None and str(out) == "-":
        raise click.UsageError("a new key goes to standard output without --out")
    if public and (psk or token or out):
        raise click.UsageError("--public makes nothing: it stands without --psk, --token and --out")
    if psk and token:
        raise click.UsageError("one thing at a time: --psk or --token")
    if file and not public:
        raise click.UsageError("FILE stands with --public only; a new key goes to --out FILE")
    if public and file is None and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("--public needs the private key: name its FILE, or pipe it in")

    def work() -> int:
        from rustun.cli import keygen as command

        if public:
            return command.show_public(file, as_json=as_json)
        return command.generate(out, "psk" if psk else "token" if token else "private_key", as_json=as_json)

    sys.exit(run_command("rustun keygen", verbosity, work))


@main.command(short_help="Show what runs on this host.")
@click.argument("name", metavar="[CLUSTER|MEMBER]", required=False, default="")
@click.option("--server", is_flag=True, help="Of the relay on this host alone.")
@click.option("--client", is_flag=True, help="Of clients on this host alone.")
@click.option("--watch", is_flag=True, help="Print it again each second, with rates; Ctrl-C ends it.")
@click.option(
    "--check", type=click.Choice(CHECKS), help="Print nothing; the exit code says whether it is so, for health probes."
)
@json_option
@control_option
@verbose_option
def status(
    name: str,
    server: bool,
    client: bool,
    watch: bool,
    check: str | None,
    as_json: bool,
    control: Path | None,
    verbosity: int,
) -> None:
    """Show what runs on this host: sessions, their age, traffic, losses, and why something does not arrive.

    A CLUSTER is shown alone; of a MEMBER all is told that is known. Without --control every socket in
    /run/rustun is read. With --json one process gives its document; several give
    {"schema": 1, "instances": [...]}. docs/status.md explains each word.

    --check live: it answers; ready: a server listens and its members' file is in force, a client has
    its device; connected: a member is online, or the client is. Exit codes: 0 yes, 1 no, 2 usage and
    unknown names, 69 refused by the server, 77 without the right to ask.

    \b
    Examples:
      rustun status
      rustun status bj-dev
      rustun status --client --check connected
      rustun status --server --watch beijing
    """
    if watch and check:
        raise click.UsageError("--watch goes on, --check ends: choose one")
    role = role_of(server, client)

    def work() -> int:
        from rustun.cli import status as command

        wanted = command.Wanted(control, role, name)
        if check:
            return command.check(wanted, check, as_json=as_json)
        return (command.watch if watch else command.status)(wanted, as_json=as_json)

    sys.exit(run_command("rustun status", verbosity, work))


@main.command(short_help="Show members or peers live, the busiest first.")
@click.option("--server", is_flag=True, help="Of the relay on this host.")
@click.option("--client", is_flag=True, help="Of a client on this host.")
@click.option("--sort", type=click.Choice(SORT_KEYS), default="now", show_default=True, help="What comes first.")
@click.option("--interval", type=click.FloatRange(0.2, 3600), default=1.0, show_default=True, metavar="SECONDS")
@click.option("--once", is_flag=True, help="Print it once, two looks an interval apart, and end.")
@control_option
@verbose_option
def top(
    server: bool, client: bool, sort: str, interval: float, once: bool, control: Path | None, verbosity: int
) -> None:
    """Show members or peers live, the busiest first.

    Keys: the first letter of a sort key sorts by it, r turns the order, q or Ctrl-C ends it.

    \b
    Examples:
      rustun top
      rustun top --server --sort drops
      rustun top --once | head
    """
    role = role_of(server, client)

    def work() -> int:
        from rustun.cli import top as command
        from rustun.cli.status import Wanted

        return command.top(Wanted(control, role), sort, interval, once=once)

    sys.exit(run_command("rustun top", verbosity, work))


@main.command(short_help="Take off what a killed client left on this host.")
@click.option("--device", metavar="NAME", help="Of that client's TUN device. [default: of all that are found]")
@state_dir_option
@json_option
@verbose_option
def cleanup(device: str | None, state_dir: Path | None, as_json: bool, verbosity: int) -> None:
    """Take off what a client left on this host that was killed: routes, rules, firewall table, settings, names.

    What a running client has is left alone; the next client takes all of it off by itself. Called by
    systemd after a service that did not end in order, a kill switch stays. Exit code 1 when something
    had to be left, or the client of --device still runs. Needs root.

    \b
    Examples:
      sudo rustun cleanup
      sudo rustun cleanup --device rustun0
    """

    def work() -> int:
        from rustun.cli import cleanup as command

        return command.cleanup(device, state_dir, as_json=as_json)

    sys.exit(run_command("rustun cleanup", verbosity, work))


@main.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      rustun completion bash > /etc/bash_completion.d/rustun
      rustun completion zsh > "${fpath[1]}/_rustun"
      rustun completion fish > ~/.config/fish/completions/rustun.fish
    """
    click.echo(completion_script(shell))


def completion_script(shell: str) -> str:
    """Return the completion script of one of SHELLS."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}")
    return script(main, {}, "rustun", "_RUSTUN_COMPLETE").source()


for diagnosis in DIAGNOSIS:
    main.add_command(diagnosis)
