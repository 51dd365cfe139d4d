"""[host_config]: what goes together, and what is refused before a host is touched."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from rustun.backends.base import Endpoint
from rustun.config import HostConsent
from rustun.config.addresses import parse_endpoint
from rustun.config.consent import judge_consent, lets_in, parse_lan, within
from rustun.config.findings import Complaint
from rustun.config.toml import parse_toml

LAN = ip_network("192.168.10.0/24")
SEEN = ip_network("192.168.11.0/24")
SERVERS = (Endpoint("192.0.2.1", 8080), Endpoint("2001:db8::1", 8080))


def judged(consent: HostConsent, servers: tuple[Endpoint, ...] = SERVERS) -> list[tuple[str, str]]:
    """Return key and reason of each problem with a consent, as member "me"."""
    top = parse_toml("client.toml", "[host_config]\nmasquerade = true\n")
    judge_consent(consent, "me", servers, top)
    return [(problem.key.removeprefix("host_config."), problem.reason) for problem in top.findings.all()]


@pytest.mark.parametrize(
    "consent",
    [
        HostConsent(),
        HostConsent(gateway=(LAN,), masquerade=True, cider_mapping=((SEEN, LAN),)),
        HostConsent(gateway=(ip_network("192.168.0.0/16"),), cider_mapping=((SEEN, LAN),)),
        HostConsent(offer_exit=True, masquerade=True),
        HostConsent(exit_node="gw", kill_switch=True),
        HostConsent(accept_routes=(), names="hosts"),
    ],
)
def test_what_goes_together_is_taken(consent: HostConsent) -> None:
    """If this fails, a host is refused a set-up that works."""
    assert judged(consent) == []


@pytest.mark.parametrize(
    ("consent", "key", "words"),
    [
        (HostConsent(masquerade=True), "masquerade", "forwards for nobody"),
        (HostConsent(kill_switch=True), "kill_switch", "without exit_node"),
        (HostConsent(exit_node="me"), "exit_node", "this member itself"),
        (HostConsent(exit_node="gw", offer_exit=True), "offer_exit", "back into the tunnel"),
        (HostConsent(cider_mapping=((SEEN, LAN),)), f"cider_mapping.{SEEN}", "192.168.10.0/24 is not within"),
        (HostConsent(gateway=(SEEN,), cider_mapping=((SEEN, LAN),)), f"cider_mapping.{SEEN}", "not within gateway"),
        (HostConsent(gateway=(LAN,), cider_mapping=((LAN, LAN),)), "cider_mapping", "overlap"),
    ],
)
def test_what_cannot_work_is_an_error(consent: HostConsent, key: str, words: str) -> None:
    """If this fails, an administrator finds out from lost packets, or from packets in clear."""
    [(found, reason)] = judged(consent)
    assert found == key
    assert words in reason


def test_no_name_can_be_resolved_with_a_kill_switch() -> None:
    """If this fails, a client with a kill switch asks for its server's address in clear, or never gets out."""
    consent = HostConsent(exit_node="gw", kill_switch=True)
    [(key, reason)] = judged(consent, (*SERVERS, parse_endpoint("vpn.example.com:8080")))
    assert key == "servers"
    assert "vpn.example.com:8080 is a name" in reason


def test_an_address_has_one_place_on_either_side_of_a_mapping() -> None:
    """If this fails, two LAN hosts share an address in the cluster, or one host has two."""
    wide = ip_network("10.0.0.0/8")
    consent = HostConsent(
        gateway=(LAN, ip_network("192.168.20.0/24"), wide),
        cider_mapping=((SEEN, LAN), (ip_network("192.168.21.0/25"), ip_network("192.168.10.0/25"))),
    )
    assert [reason for _, reason in judged(consent)] == ["192.168.10.0/24 (real) and 192.168.10.0/25 (real) overlap"]
    swapped = HostConsent(gateway=(LAN, SEEN), cider_mapping=((SEEN, LAN), (LAN, SEEN)))
    assert len(judged(swapped)) == 2
    two = (SEEN, LAN), (ip_network("fd00:b::/64"), ip_network("fd00:a::/64"))
    assert judged(HostConsent(gateway=(LAN, ip_network("fd00:a::/48")), cider_mapping=two)) == []


def test_a_default_route_is_no_lan() -> None:
    """If this fails, `gateway` makes an exit node of a host that never said so."""
    with pytest.raises(Complaint, match="default route"):
        parse_lan("0.0.0.0/0")
    with pytest.raises(Complaint):
        parse_lan("::/1")
    assert parse_lan("192.168.10.0/24") == LAN


@pytest.mark.parametrize(
    ("consent", "let_in"),
    [
        (HostConsent(), []),
        (HostConsent(as_told=True), ["192.168.10.0/24", "192.168.11.0/24", "8.8.8.0/24"]),
        (HostConsent(gateway=(LAN,), cider_mapping=((SEEN, LAN),)), ["192.168.10.0/24", "192.168.11.0/24"]),
        (HostConsent(gateway=(ip_network("192.168.10.0/25"),)), []),
        (HostConsent(offer_exit=True), ["0.0.0.0/0", "128.0.0.0/1"]),
    ],
)
def test_what_a_host_lets_in(consent: HostConsent, let_in: list[str]) -> None:
    """If this fails, a server's word opens a LAN, or what is written in [host_config] opens none."""
    told = ("192.168.10.0/24", "192.168.11.0/24", "8.8.8.0/24", "0.0.0.0/0", "128.0.0.0/1")
    assert [text for text in told if lets_in(consent, ip_network(text))] == let_in


def test_within() -> None:
    """If this fails, a prefix counts as offered in another family, or by a part of itself."""
    assert within(LAN, (ip_network("fd00::/8"), ip_network("192.168.0.0/16")))
    assert within(LAN, (LAN,))
    assert not within(LAN, (ip_network("192.168.10.0/25"), ip_network("::/0")))
