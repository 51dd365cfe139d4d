"""`check_files`: files together, and what their members and tiers mean."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rustun.config import check_files

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
PRIVATE_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


def member(identity: str, number: int, cluster: str = "beijing", **more: object) -> dict[str, object]:
    """Return an entry of routes.json."""
    return {"cluster": cluster, "identity": identity, "private_ip": f"10.0.1.{number}", "mask": "255.255.255.0"} | more


def said(folder: Path, crypto: str, security: str, *members: dict[str, object]) -> list[str]:
    """Return warnings and notes about a server and its members, without files and remedies."""
    (folder / "server.key").write_text(PRIVATE_KEY)
    (folder / "server.key").chmod(0o600)
    (folder / "routes.json").write_text(json.dumps(members))
    security = f'known_keys_file = "known-keys.json"\n{security}'
    text = f'[server_config]\nlisten_addr = "0.0.0.0:8080"\n{crypto}\n[security_config]\n{security}\n'
    (folder / "server.toml").write_text(f'{text}[route_config]\nroutes_file = "{folder}/routes.json"\n')
    problems = check_files([folder / "server.toml"], NOW)
    assert not [problem for problem in problems if problem.level == "error"]
    return [f"{problem.level}: {problem.reason}" for problem in problems]


SHARED = '[crypto_config]\naes256 = "a long and random key string"'
DISABLED = 'note: 1 member with "enabled": false cannot come in: "off"'
SERVER_KEY = 'note: the public key of "server.key" is HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw='
SHARED_NOTE = "note: is used only by entries of routes.json that say tier themselves: minimum_tier is key"


@pytest.mark.parametrize(
    ("crypto", "security", "expected"),
    [
        (
            SHARED,
            "",
            [
                DISABLED,
                'warning: 1 member with a public_key cannot come in, since the server has no key: "keyed"',
                "warning: 1 member can come in by the seed's wire, which keeps no secret for long, as the entry says: "
                '"seed"',
            ],
        ),
        (
            SHARED,
            'private_key_file = "server.key"\nminimum_tier = "shared"',
            [
                SERVER_KEY,
                DISABLED,
                'note: 1 member can come in by the shared key alone, as the entry says: "shared"',
                'note: 1 member can come in by the shared key alone, since minimum_tier is shared: "plain"',
                "warning: 1 member can come in by the seed's wire, which keeps no secret for long, as the entry says: "
                '"seed"',
            ],
        ),
        (
            SHARED,
            'private_key_file = "server.key"',
            [
                SHARED_NOTE,
                SERVER_KEY,
                DISABLED,
                'warning: 1 member without a public_key cannot come in, since minimum_tier is key: "plain"',
                'note: 1 member can come in by the shared key alone, as the entry says: "shared"',
                "warning: 1 member can come in by the seed's wire, which keeps no secret for long, as the entry says: "
                '"seed"',
            ],
        ),
        (
            "",
            'private_key_file = "server.key"',
            [
                SERVER_KEY,
                DISABLED,
                'warning: 1 member without a public_key cannot come in, since minimum_tier is key: "plain"',
                'warning: 2 members cannot come in, since the server has no crypto_config: "shared", "seed"',
            ],
        ),
        (
            '[crypto_config]\nxor = "test"',
            "",
            [
                "warning: xor protects nothing: everybody on the path reads and forges all traffic; for tests only",
                DISABLED,
                'warning: 1 member with a public_key cannot come in, since the server has no key: "keyed"',
                'warning: 1 member of tier shared cannot come in by xor: "shared"',
            ],
        ),
    ],
)
def test_who_can_come_in_by_which_tier(tmp_path: Path, crypto: str, security: str, expected: list[str]) -> None:
    """An operator believes that members are held to a tier, and they are not, or wonders why one cannot come in."""
    members = [
        member("keyed", 1, public_key=KEY),
        member("plain", 2),
        member("shared", 3, tier="shared"),
        member("seed", 4, tier="legacy"),
        member("off", 5, tier="legacy", enabled=False),
    ]
    assert said(tmp_path, crypto, security, *members) == expected


def test_one_key_for_several_clusters(tmp_path: Path) -> None:
    """Nobody tells the operator that every tenant's key opens every other tenant."""
    members = [member(f"m{number}", number, f"c{number}") for number in range(1, 8)]
    found = said(tmp_path, SHARED, "", *members)
    shown = '"c1", "c2", "c3", "c4", "c5" and 2 more'
    assert found == [
        f"warning: one key for 7 clusters ({shown}): who holds it can claim to be any of their members",
    ]
    assert said(tmp_path, SHARED, "", *members[:1]) == []


def test_pages_that_are_open_to_the_network(tmp_path: Path) -> None:
    """An operator sends the token of the dashboard in clear words through somebody else's network, and never knows."""
    (tmp_path / "dashboard.token").write_text("a-token-of-more-than-16-characters\n")
    (tmp_path / "dashboard.token").chmod(0o600)
    token = f'[dashboard_config]\ntoken_file = "{tmp_path}/dashboard.token"\n'
    inner = f'{token}listen = "127.0.0.1:8081"\n[admin_config]\nmetrics_listen = "[::1]:9101"'
    outer = f'{token}listen = ["127.0.0.1:8081", "0.0.0.0:8082"]\n[admin_config]\nmetrics_listen = "198.18.0.1:9101"'
    assert said(tmp_path, inner, 'private_key_file = "server.key"') == [SERVER_KEY]
    assert said(tmp_path, outer, 'private_key_file = "server.key"') == [
        SERVER_KEY,
        "note: 0.0.0.0:8082 is plain HTTP: who listens on the way to it reads the token",
        "note: 198.18.0.1:9101 is plain HTTP: who listens on the way to it reads the token",
    ]


def test_files_of_all_kinds_told_by_content(tmp_path: Path) -> None:
    """A file under another name is judged as what it is not."""
    texts = {
        "members.conf": "[\n  7\n]\n",
        "relay.conf": "[server_config]\nlisten = 1\n",
        "gateway.conf": 'identity = ""\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    reasons = {
        Path(problem.file).name: problem.reason
        for problem in reversed(check_files([tmp_path / name for name in texts], NOW))
    }
    assert reasons["members.conf"] == "is 7, not a member"
    assert reasons["relay.conf"] == "is missing"
    assert reasons["gateway.conf"] == "is empty"


def test_a_routes_file_is_judged_once(tmp_path: Path) -> None:
    """Each problem of a routes.json appears twice when it is named beside its server.toml."""
    said(tmp_path, SHARED, "")
    (tmp_path / "routes.json").write_text("[7]")
    problems = check_files([tmp_path / "server.toml", tmp_path / "routes.json"], NOW)
    assert [problem.reason for problem in problems] == ["is 7, not a member"]


def test_who_leaves_and_when_in_a_few_lines(tmp_path: Path) -> None:
    """An operator of a large fleet finds nothing else among thousands of lines about what ends, or not the next end."""
    members = [member(f"m{day:02}", day, expires_at=f"2026-06-{day:02}") for day in range(30, 0, -1)]
    members += [member("gone", 40, expires_at="2026-05-01", enabled=False), member("late", 41, expires_at="2026-08-01")]
    (tmp_path / "routes.json").write_text(json.dumps(members))
    found = [f"{problem.key}: {problem.reason}" for problem in check_files([tmp_path / "routes.json"], NOW)]
    assert len(found) == 22
    assert found[0] == ': 1 member with "enabled": false cannot come in: "gone"'
    assert found[1] == 'member "m01" (cluster beijing): expires in 1 days, at 2026-06-02T00:00:00+00:00'
    assert found[-1].startswith(": 10 members more end by 2026-07-01T00:00:00+00:00: ")


def test_a_member_with_the_servers_own_key(tmp_path: Path) -> None:
    """An operator copied the wrong public key, and looks for the reason on the network."""
    public = SERVER_KEY.rpartition(" ")[2]
    found = said(tmp_path, "", 'private_key_file = "server.key"', member("a", 1, public_key=public))
    assert found == [SERVER_KEY, 'warning: 1 member with the server\'s own public_key: "a"']


def test_keys_that_were_lost_while_nothing_ran(tmp_path: Path) -> None:
    """A tool took the public keys out of routes.json, and `check` says that all is well."""
    known = tmp_path / "known-keys.json"
    known.write_text(json.dumps({"schema": 1, "keys": {"a": [KEY], "gone": [KEY]}}))
    known.chmod(0o600)
    security = 'private_key_file = "server.key"\nminimum_tier = "shared"'
    assert said(tmp_path, SHARED, security, member("a", 1)) == [
        SERVER_KEY,
        'warning: 1 member lost the public_key; the server goes on with what it knew: "a"',
    ]
    known.write_text("{")
    assert said(tmp_path, SHARED, security, member("a", 1), member("b", 2, tier="shared")) == [
        SERVER_KEY,
        "warning: 1 member without public_key and tier cannot come in, since nobody can tell whether there was a key: "
        '"a"',
        "warning: is not a list of known keys: it is cut off or garbled",
        'note: 1 member can come in by the shared key alone, as the entry says: "b"',
    ]


def test_folders_devices_and_missing_files(tmp_path: Path) -> None:
    """`check` hangs on a FIFO or shows a traceback for something that is no file."""
    fifo = tmp_path / "fifo.toml"
    os.mkfifo(fifo)
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    paths = [tmp_path, fifo, loop, tmp_path / "missing.json", Path("a\0b"), Path("/dev/zero")]
    reasons = [problem.reason for problem in check_files(paths)]
    assert reasons == [
        "is a folder",
        "is not a regular file",
        "cannot be opened: Too many levels of symbolic links",
        "there is no such file",
        "cannot be opened: no file can have this name",
        "is not a regular file",
    ]


@pytest.mark.parametrize("damage", [('"cluster"', '"\x7fluster"'), ('routes.json"', 'r\\u0000.json"')])
def test_what_a_file_names_is_shown_in_printable_words(tmp_path: Path, damage: tuple[str, str]) -> None:
    """A key or a path in a damaged file steers the terminal of whoever checks it."""
    (tmp_path / "routes.json").write_text(json.dumps([member("a", 1)]).replace(*damage))
    text = f'[server_config]\nlisten_addr = "0.0.0.0:8080"\n{SHARED}\n[route_config]\nroutes_file = "routes.json"\n'
    (tmp_path / "server.toml").write_text(text.replace(*damage))
    lines = [line for problem in check_files([tmp_path / "server.toml"], NOW) for line in problem.lines()]
    assert any("\\x7fluster" in line or "\\x00" in line for line in lines)
    assert all(line.isprintable() for line in lines)
