"""What `ssh` of the inventory may hold."""

from __future__ import annotations

import pytest

from rustun.config.findings import Complaint
from rustun.ops.destination import destination_words, parse_destination

GOOD = (
    "", "gw", "root@gw.example", "root@gw.example:2222", "ssh://root@gw.example:2222", "root@[2001:db8::1]:2222",
    "root@fe80::1%eth0", "büro", "a+b@gw_1",
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_whatever_ssh_takes_may_stand_there(text: str) -> None:
    """Hosts that an operator reaches could not be deployed to."""
    assert parse_destination(text) == text


@pytest.mark.parametrize(
    "text", ["-oProxyCommand=id", "root@-oProxyCommand=id", "-l@gw", "ssh://-oProxyCommand=id", "ssh://root@-F/x"]
)
def test_an_option_is_no_host(text: str) -> None:
    """Who may write the inventory, or a server its list of hosts, would run programs on the control station."""
    with pytest.raises(Complaint, match="an option"):
        parse_destination(text)


def test_a_user_alone_is_no_host() -> None:
    """The slip would only be told by ssh, when everything else is deployed already."""
    with pytest.raises(Complaint, match="names no host"):
        parse_destination("root@")


@pytest.mark.parametrize("text", ["a b", "a;id", "`id`@gw", "$(id)", "a|id", "a'b", 'a"b', "a\\b", "gw&", "gw>x", "*"])
def test_nothing_that_a_shell_would_run(text: str) -> None:
    """A ProxyCommand with %h, or an operator who pastes the remedy, would run what stands there."""
    with pytest.raises(Complaint, match="a shell"):
        parse_destination(text)


@pytest.mark.parametrize(
    ("ssh", "words"),
    [
        ("gw", ["--", "gw"]),
        ("root@gw.example", ["--", "root@gw.example"]),
        ("root@gw.example:2222", ["-p", "2222", "--", "root@gw.example"]),
        ("root@[2001:db8::1]:2222", ["-p", "2222", "--", "root@2001:db8::1"]),
        ("root@2001:db8::1", ["--", "root@2001:db8::1"]),
        ("ssh://root@gw:22", ["--", "ssh://root@gw:22"]),
    ],
)
def test_a_port_is_an_option_and_nothing_else(ssh: str, words: list[str]) -> None:
    """A port would be part of a name, or a name an option that runs a program here."""
    assert destination_words(ssh) == words
