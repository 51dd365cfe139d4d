"""`check_files`: files together, and what their members and tiers mean."""

from __future__ import annotations

import json
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
    text = f'[server_config]\nlisten_addr = "0.0.0.0:8080"\n{crypto}\n[security_config]\n{security}\n'
    (folder / "server.toml").write_text(f'{text}[route_config]\nroutes_file = "{folder}/routes.json"\n')
    problems = check_files([folder / "server.toml"], NOW)
    assert not [problem for problem in problems if problem.level == "error"]
    return [f"{problem.level}: {problem.reason}" for problem in problems]


SHARED = '[crypto_config]\naes256 = "a long and random key string"'
NO_KEY_TIER = "warning: is not acted on by this version: nobody can come in by the key tier"
SHARED_NOTE = "note: is used only by entries of routes.json that say tier themselves: minimum_tier is key"


@pytest.mark.parametrize(
    ("crypto", "security", "expected"),
    [
        (SHARED, "", ['warning: 1 member with a public_key cannot come in, since the server has no key: "keyed"']),
        (
            SHARED,
            'private_key_file = "server.key"',
            [
                SHARED_NOTE,
                NO_KEY_TIER,
                'warning: 1 member without a public_key cannot come in, since minimum_tier is key: "plain"',
                'note: 1 member can come in by the shared key alone, without a key of their own: "shared"',
                'warning: 1 member can come in by the seed\'s wire, which keeps no secret for long: "seed"',
            ],
        ),
        (
            "",
            'private_key_file = "server.key"',
            [
                NO_KEY_TIER,
                'warning: 1 member without a public_key cannot come in, since minimum_tier is key: "plain"',
                'warning: 2 members cannot come in, since the server has no crypto_config: "shared", "seed"',
            ],
        ),
        (
            '[crypto_config]\nxor = "test"',
            "",
            [
                "warning: xor protects nothing: everybody on the path reads and forges all traffic; for tests only",
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
    found = said(tmp_path, crypto, security, *members)
    if "private_key_file" not in security and "xor" not in crypto:
        expected = [
            *expected,
            'warning: 1 member can come in by the seed\'s wire, which keeps no secret for long: "seed"',
        ]
    assert found == expected


def test_one_key_for_several_clusters(tmp_path: Path) -> None:
    """Nobody tells the operator that every tenant's key opens every other tenant."""
    members = [member(f"m{number}", number, f"c{number}") for number in range(1, 8)]
    found = said(tmp_path, SHARED, "", *members)
    shown = '"c1", "c2", "c3", "c4", "c5" and 2 more'
    assert found == [
        f"warning: one key for 7 clusters ({shown}): who holds it can claim to be any of their members",
    ]
    assert said(tmp_path, SHARED, "", *members[:1]) == []


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
