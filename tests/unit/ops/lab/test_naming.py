"""rustun.ops.lab.naming: links, hosts and routers that name a member."""

from __future__ import annotations

import tomllib

import pytest

from rustun.ops.lab.naming import nodes, references, renamed

FILES = (
    "[cluster.a.member.sh]\n[cluster.a.member.sh-db]\n",
    "[lab.host.db]\ncount = 2\n[lab.nat.home]\nbefore = 'sh'\n[lab.nat.office]\nbefore = ['home', 'sh-db']\n"
    "[lab.link.sh-db]\n[lab.link.sh]\n[lab.link.db-2-sh]\n[lab.link.sh-server]\n[lab.link.sh-nobody]\n",
)


def test_a_link_names_a_member_only_where_the_rest_is_a_node() -> None:
    """Who renames "sh" would rename the link of "sh-db" with it, or leave its own under the old name."""
    tables = [tomllib.loads(text) for text in FILES]
    known = nodes(tables)
    assert known == {"server", "sh", "sh-db", "db", "db-1", "db-2", "home", "office"}
    found = [".".join(path) for values in tables for path in references(values, "sh", known)]
    assert found == ["lab.nat.home.before", "lab.link.sh", "lab.link.db-2-sh", "lab.link.sh-server"]


@pytest.mark.parametrize(("link", "after"), [("sh", "x"), ("sh-db", "x-db"), ("db-2-sh", "db-2-x"), ("sh-sh", "x-sh")])
def test_one_end_of_a_link_is_renamed(link: str, after: str) -> None:
    """A link would lose an end."""
    assert renamed(link, "sh", "x") == after
