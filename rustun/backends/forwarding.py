"""Kernel settings of a gateway: which ones a wish needs, what undoes them, and their files under /proc/sys.

Rules of this module
  1. Forwarding is switched on for single interfaces: packets that arrive at the tunnel's, at those that lead to the
     LANs, and at the uplinks of an exit node may be forwarded. What else could then be forwarded is dropped by the
     firewall, which stands before the first of these settings changes.
  2. IPv4 has that setting for each interface (`forwarding`), IPv6 since Linux 6.17 (`force_forwarding`); it leaves
     router advertisements alone. Before, IPv6 has one switch for the host, which makes it a router: interfaces stop
     to take router advertisements, and the default routes that came by them go. Those that took them get
     `accept_ra = 2` first ("also as a router", ip-sysctl.rst).
  3. A host that forwards already needs nothing.
  4. Undoing goes backwards, and only for a setting that is still as we set it. Whoever made the whole host an IPv4
     router meanwhile (`ip_forward`, as container engines do) set each interface as well: it stays, and is reported.
     So that this can be told, the switch of the whole host is noted as it was.
  5. The IPv6 switch of the whole host takes `forwarding` of every interface along. Interfaces that had it on before
     are noted, unchanged, and get it back; so a host is looked at as it would be without us (`without`).
  6. Names have slashes, as under /proc/sys and as `sysctl` takes them too: an interface's name may have dots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.backends.base import HostState
from rustun.backends.surroundings import Surroundings
from rustun.errors import HostError, RightsError

PROC_SYS: Final = Path("/proc/sys")
IPV4: Final = "net/ipv4/conf"
IPV6: Final = "net/ipv6/conf"
READ: Final = {IPV4: ("forwarding",), IPV6: ("forwarding", "force_forwarding", "accept_ra")}
OFF, ON, ALSO_AS_ROUTER = "0", "1", "2"
EVERY: Final = "all"  # the host as a whole, beside the interfaces' names
IPV4_SWITCH: Final = f"{IPV4}/{EVERY}/forwarding"  # ip_forward by another name
IPV6_SWITCH: Final = f"{IPV6}/{EVERY}/forwarding"


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that is made, or noted only because others take it along: then `before` is `ours`.

    Attributes:
        name: below /proc/sys, with slashes.
        before: what it was when we first came, "" where the interface was not there.
        ours: what we set.
    """

    name: str
    before: str
    ours: str

    @property
    def command(self) -> str:
        """Return it as a shell's command."""
        return f"sysctl -w {self.name}={self.ours}"


@dataclass(frozen=True, slots=True)
class Opened:
    """Interfaces at which we switched forwarding on, by IP version; EVERY among them: the whole host."""

    ipv4: frozenset[str] = frozenset()
    ipv6: frozenset[str] = frozenset()


def needed(wished: HostState, around: Surroundings, present: Mapping[str, str]) -> tuple[Change, ...]:
    """Return the changes that make the host forward as wished, in order; none where all is as it has to be.

    Args:
        wished: what the client wants.
        around: the host's interfaces.
        present: name -> value of the settings as they are (`read_settings`).
    """
    changes: list[Change] = []
    if names := _forwarding_at(wished, around, 4):
        if IPV4_SWITCH in present:
            changes.append(Change(IPV4_SWITCH, present[IPV4_SWITCH], present[IPV4_SWITCH]))
        changes += _switched_on(IPV4, "forwarding", names, wished.device, present)
    if names := _forwarding_at(wished, around, 6):
        changes += _ipv6(names, wished.device, present)
    return tuple(changes) if any(change.before != change.ours for change in changes) else ()


def _forwarding_at(wished: HostState, around: Surroundings, version: int) -> list[str]:
    """Return the interfaces at which packets arrive that have to be forwarded; none where the family has no part."""
    names = {name for prefix, ways in around.ways.items() if prefix.version == version for name in ways}
    if wished.forwarding.offer_exit:
        names.update(around.uplinks.get(version, ()))
    return [wished.device, *sorted(names)] if names else []


def _switched_on(
    family: str, key: str, names: Iterable[str], device: str, present: Mapping[str, str]
) -> Iterator[Change]:
    for interface in names:
        name = f"{family}/{interface}/{key}"
        before = present.get(name, "")
        if before != ON and (before or interface == device):  # the device may still have to come
            yield Change(name, before, ON)


def _ipv6(names: Iterable[str], device: str, present: Mapping[str, str]) -> Iterator[Change]:
    if present.get(IPV6_SWITCH) != OFF:  # forwards already, or has no IPv6
        return
    if f"{IPV6}/{EVERY}/force_forwarding" in present:
        yield from _switched_on(IPV6, "force_forwarding", names, device, present)
        return
    for interface in _interfaces(present):
        forwards = present.get(f"{IPV6}/{interface}/forwarding")
        if forwards == ON:
            yield Change(f"{IPV6}/{interface}/forwarding", ON, ON)
        elif present.get(f"{IPV6}/{interface}/accept_ra") == ON:
            yield Change(f"{IPV6}/{interface}/accept_ra", ON, ALSO_AS_ROUTER)
    yield Change(IPV6_SWITCH, OFF, ON)


def _interfaces(present: Mapping[str, str]) -> list[str]:
    """Return the interfaces that have IPv6 settings, and "default", which those to come take over."""
    names = {name.split("/")[3] for name in present if name.startswith(IPV6)}
    return sorted(names - {EVERY, "lo"})


def without(changes: Iterable[Change], present: Mapping[str, str]) -> dict[str, str]:
    """Return the settings as they would be if these changes had not been made; what `needed` is asked with.

    Args:
        changes: those of all clients on this host, as `needed` returned them.
        present: name -> value of the settings as they are.
    """
    earlier = [change for change in changes if change.before]
    made_router = _made_router(earlier, present)
    found = dict(present)
    if any(change.name == IPV6_SWITCH for change in earlier) and present.get(IPV6_SWITCH) == ON:
        found.update((f"{IPV6}/{interface}/forwarding", OFF) for interface in _interfaces(present))
    for change in earlier:
        ours = present.get(change.name) == change.ours
        if ours and not (made_router and _parts(change.name)[0] == IPV4):
            found[change.name] = change.before
    return found


def _made_router(earlier: Iterable[Change], present: Mapping[str, str]) -> bool:
    """Return whether somebody made the whole host an IPv4 router after these changes."""
    noted = {change.before for change in earlier if change.name == IPV4_SWITCH}
    return present.get(IPV4_SWITCH) == ON and ON not in noted


def opened(changes: Iterable[Change], device: str) -> Opened:
    """Return where these changes, those of the journal among them, opened the host beside the device."""
    found: dict[str, set[str]] = {IPV4: set(), IPV6: set()}
    for change in changes:
        family, interface, key = _parts(change.name)
        if key != "accept_ra" and change.before != ON and change.ours == ON and interface != device:
            found[family].add(interface)
    return Opened(frozenset(found[IPV4]), frozenset(found[IPV6]))


def undone(changes: Iterable[Change], present: Mapping[str, str]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return what takes earlier changes back, in order, and a line for each setting that is left as others made it.

    Args:
        changes: as `needed` returned them, in that order.
        present: name -> value of the settings as they are; interfaces that are gone are not in it.
    """
    earlier = list(changes)
    made_router = _made_router(earlier, present)
    back: list[Change] = []
    left: list[str] = []
    for change in reversed(earlier):
        value = present.get(change.name)
        if value is None or change.name == IPV4_SWITCH or change.before == "":
            continue
        family, _, _ = _parts(change.name)
        noted = change.before == change.ours
        if noted or (value == change.ours and not (family == IPV4 and made_router)):
            back.append(Change(change.name, value, change.before))
        elif value != change.before:
            why = "this host was made a router meanwhile" if value == change.ours else f"{change.ours} when we set it"
            left.append(f"{change.name} is left at {value}: {why}; it was {change.before} before")
    return tuple(back), tuple(left)


def _parts(name: str) -> tuple[str, str, str]:
    """Return family, interface and key of a setting's name."""
    family, interface, key = name.rsplit("/", 2)
    return family, interface, key


def read_settings(root: Path = PROC_SYS) -> dict[str, str]:
    """Return name -> value of all settings that this module looks at; without IPv6 none of those."""
    found: dict[str, str] = {}
    for family, keys in READ.items():
        for folder in (root / family).glob("*"):
            for key in keys:
                try:
                    found[f"{family}/{folder.name}/{key}"] = (folder / key).read_text().strip()
                except OSError:  # this kernel does not have it, or the interface has just gone
                    continue
    return found


def write_setting(change: Change, root: Path = PROC_SYS) -> None:
    """Make one change; harmless where the interface is gone.

    Raises: RightsError or HostError when the kernel refuses.
    """
    try:
        (root / change.name).write_text(change.ours)
    except FileNotFoundError:
        return
    except OSError as error:
        kind = RightsError if isinstance(error, PermissionError) else HostError
        remedy = f"/proc/sys has to be writable: `{change.command}` as root shows whether it is"
        raise kind(f"cannot set {change.name} to {change.ours}: {error.strerror}", remedy) from error
