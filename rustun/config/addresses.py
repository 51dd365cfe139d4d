"""Texts to endpoints, addresses and prefixes, each with its own word for what is wrong.

Only prefixes that a tunnel can carry are taken: see NEVER_CARRIED (RFC 6890; the relay drops such packets anyway).
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Final

from rustun.backends.base import Address, Endpoint, Prefix
from rustun.config.findings import Complaint
from rustun.printable import quoted

MAX_PORT: Final = 65535
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_IPV4_LIKE: Final = re.compile(r"[0-9.]+")
_ZONE: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")  # of a link-local address: the name of an interface (RFC 4007)

# IP version -> (prefix length, leading bits, what is wrong with every address and prefix inside)
NEVER_CARRIED: Final = {
    version: tuple(
        (net.prefixlen, int(net.network_address) >> (net.max_prefixlen - net.prefixlen), what)
        for net, what in ((ip_network(text), what) for text, what in nets)
    )
    for version, nets in (
        (
            4,
            (
                ("0.0.0.0/8", '"this network" (0.0.0.0/8)'),
                ("127.0.0.0/8", "loopback"),
                ("169.254.0.0/16", "link-local"),
                ("224.0.0.0/4", "multicast"),
                ("255.255.255.255/32", "broadcast"),
            ),
        ),
        (
            6,
            (
                ("::/127", "unspecified or loopback"),
                ("::ffff:0:0/96", "IPv4 written as IPv6"),
                ("fe80::/10", "link-local"),
                ("ff00::/8", "multicast"),
            ),
        ),
    )
}
ADDRESS_BITS: Final = {4: 32, 6: 128}


def parse_endpoint(text: str) -> Endpoint:
    """Return HOST:PORT as a client names its server: a name, an IPv4 address or an IPv6 address in brackets.

    Raises: Complaint.
    """
    host, port = _split_endpoint(text, example="vpn.example.com")
    if _looks_numeric(host):
        return Endpoint(str(_address(host)), port)
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise Complaint(f"{quoted(host)} is not a host name", "letters, digits, hyphens and dots, as vpn.example.com")
    return Endpoint(host, port)


def parse_listen(text: str) -> Endpoint:
    """Return ADDRESS:PORT that a server can listen on; port 0 lets the kernel choose. Raises: Complaint."""
    host, port = _split_endpoint(text, example="0.0.0.0", lowest_port=0)
    if not _looks_numeric(host):
        raise Complaint(
            f"{quoted(host)} is a name; a server listens on addresses",
            f'write 0.0.0.0:{port} for every IPv4 address, "[::]:{port}" for every IPv6 address',
        )
    return Endpoint(str(_address(host)), port)


def _split_endpoint(text: str, *, example: str, lowest_port: int = 1) -> tuple[str, int]:
    if not text:
        raise Complaint("is empty", f'write an address and a port, as in "{example}:8080"')
    if "://" in text:
        place = text.partition("://")[2].partition("/")[0] or f"{example}:8080"
        raise Complaint(f"{quoted(text)} is a URL", f"write host and port alone: {quoted(place)}")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise Complaint(f"{quoted(text)} is not [IPv6 address]:PORT", "as in [2001:db8::1]:8080")
        return host, _port(text, rest[1:], lowest_port)
    host, colon, port = text.rpartition(":")
    if ":" in host:
        raise Complaint(f"{quoted(text)} has an IPv6 address without brackets", _bracketed(text))
    if not colon:
        raise Complaint(f"{quoted(text)} has no port", f"write {quoted(text + ':8080')}")
    if not host:
        raise Complaint(f"{quoted(text)} has no address", f"as in {quoted(example + text)}")
    return host, _port(text, port, lowest_port)


def _bracketed(text: str) -> str:
    host, _, port = text.rpartition(":")
    for address, its_port in ((host, port), (text, "8080")):
        try:
            return f"write [{IPv6Address(address)}]:{_port(text, its_port, 1)}"
        except (ValueError, Complaint):
            continue
    return "as in [2001:db8::1]:8080"


def _port(text: str, port: str, lowest: int) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and lowest <= int(port) <= MAX_PORT):
        raise Complaint(f"{quoted(text)}: {quoted(port)} is not a port", f"ports are {lowest} to {MAX_PORT}")
    return int(port)


def _looks_numeric(host: str) -> bool:
    return ":" in host or _IPV4_LIKE.fullmatch(host) is not None


def _address(text: str) -> Address:
    zone = text.partition("%")[2]
    try:
        if zone and not _ZONE.fullmatch(zone):
            raise ValueError(zone)
        return ip_address(text)
    except ValueError:
        family = "IPv6" if ":" in text else "IPv4"
        example = "2001:db8::1" if ":" in text else "192.0.2.1"
        raise Complaint(f"{quoted(text)} is not an {family} address", f"as in {example}") from None


def parse_prefix(text: str) -> Prefix:
    """Return an IPv4 or IPv6 prefix without host bits that a tunnel can carry. Raises: Complaint."""
    try:
        prefix: Prefix = IPv6Network(text) if ":" in text else IPv4Network(text)
    except ValueError:
        raise _not_a_prefix(text) from None
    if "%" in text:
        raise Complaint(f"{quoted(text)} names an interface, which means nothing to others", "take the % part out")
    what = never_carried(prefix.version, prefix.prefixlen, int(prefix.network_address))
    if what:
        raise Complaint(f"{quoted(text)} is {what}: a tunnel never carries it", "take it out")
    return prefix


def _not_a_prefix(text: str) -> Complaint:
    try:
        interface = ip_interface(text)
    except ValueError:
        pass
    else:
        host = f"{interface.ip}/{interface.ip.max_prefixlen}"
        return Complaint(f"{quoted(text)} has host bits set", f"did you mean {interface.network}, or {host}?")
    stripped = text.strip()
    if stripped != text and stripped:
        return Complaint(f"{quoted(text)} has spaces around it", f"write {quoted(stripped)}")
    address, slash, length = text.partition("/")
    if slash and length.isascii() and length.isdigit():
        try:
            longest = ip_address(address).max_prefixlen
        except ValueError:
            pass
        else:
            return Complaint(
                f"{quoted(text)}: a prefix length is at most {longest}", f"write {address}/24 or {address}/{longest}"
            )
    return Complaint(f"{quoted(text)} is not a prefix", "an address, a slash and a length, as in 192.168.1.0/24")


def parse_ipv4(text: str) -> IPv4Address:
    """Return an IPv4 address that a member can have. Raises: Complaint."""
    try:
        address = IPv4Address(text)
    except ValueError:
        plain, slash, _ = text.partition("/")
        remedy = f"write {quoted(plain)}; the length goes into mask" if slash else "as in 10.0.1.1"
        raise Complaint(f"{quoted(text)} is not an IPv4 address", remedy) from None
    what = never_carried(4, 32, int(address))
    if what:
        raise Complaint(f"{quoted(text)} is {what}", "a member needs an address of its own, as 10.0.1.1")
    return address


@lru_cache(maxsize=64)  # a file of 10,000 members has a handful of them
def parse_mask(text: str) -> IPv4Address:
    """Return a netmask in dots. Raises: Complaint: not one, or its ones are not all in front."""
    try:
        mask = IPv4Address(text)
        if int(IPv4Network((0, text)).netmask) == int(mask):
            return mask
    except ValueError:
        pass
    length = text.removeprefix("/")
    if length.isascii() and length.isdigit() and int(length) <= 32:
        raise Complaint(f"{quoted(text)} is not a mask in dots", f"write {IPv4Network((0, int(length))).netmask}")
    raise Complaint(f"{quoted(text)} is not a netmask", "as in 255.255.255.0")


def parse_interface6(text: str) -> IPv6Interface:
    """Return an IPv6 address with the length of its network. Raises: Complaint."""
    try:
        interface = IPv6Interface(text)
    except ValueError:
        raise Complaint(f"{quoted(text)} is not an IPv6 address with a length", "as in fd00:1::1/64") from None
    if "/" not in text:
        raise Complaint(f"{quoted(text)} has no length", f"write {interface.ip}/64")
    what = "scoped" if "%" in text else never_carried(6, 128, int(interface.ip))
    if what:
        raise Complaint(f"{quoted(text)} is {what}", "a member needs an address of its own, as fd00:1::1/64")
    return interface


def never_carried(version: int, length: int, number: int) -> str:
    """Return what makes a prefix useless inside a tunnel, or nothing.

    Args:
        version: 4 or 6.
        length: of the prefix, in bits.
        number: its network address as a number.
    """
    for forbidden_length, leading, what in NEVER_CARRIED[version]:
        if length >= forbidden_length and number >> (ADDRESS_BITS[version] - forbidden_length) == leading:
            return what
    return ""
