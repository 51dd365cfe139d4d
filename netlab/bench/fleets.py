"""Inventories of any size, always the same for the same arguments: what large fleets are tried with.

A fleet has what real ones have: a file per tenant, tags, LANs behind some of the members, the same LAN in two tenants,
addresses written for some and left to the toolkit for others, members that expire or are switched off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from rustun.ops.inventory import Member, load_inventory

FLEET = """\
[fleet]
name = "{name}"
servers = [
  {{ address = "hk.{name}.example:8080", name = "hk-1", ssh = "root@hk.{name}.example" }},
  {{ address = "fra.{name}.example:8080", name = "fra-1", ssh = "root@fra.{name}.example" }},
]

[tag.gateway]
masquerade = true

[tag.far]
keepalive_interval = 20
"""


def write_fleet(folder: Path, clusters: int = 200, members: int = 50, *, seed: int = 1) -> Path:
    """Write an inventory into a folder that is there and return the folder.

    Args:
        clusters: how many tenants, 1 to 250; each gets a file.
        members: how many in each, 1 to 250.
        seed: another one gives another fleet of the same size.
    """
    random = Random(seed)
    (folder / "fleet.toml").write_text(FLEET.format(name=f"fleet{seed}"))
    for number in range(clusters):
        (folder / f"site-{number:03}.toml").write_text("\n".join(_cluster(random, number, members)))
    return folder


def write_policy(folder: Path, assertions: int = 1000, *, seed: int = 1) -> Path:
    """Write a policy that holds beside the inventory in a folder, as many assertions as asked for; return its file.

    By turns who reaches whom in a cluster, who does not in another, and whole clusters that reach neither another
    cluster nor the internet.
    """
    random = Random(seed)
    clusters = [one for one in load_inventory(folder).clusters if sum(map(_is_on, one.members)) > 1]
    lines = []
    for number in range(assertions):
        here, there = random.sample(clusters, 2)
        alice, bob = random.sample([member.identity for member in filter(_is_on, here.members)], 2)
        carol = random.choice(there.members).identity
        lines.append(
            (
                f"{alice} can reach {bob}",
                f"{alice} cannot reach {carol}",
                f"nobody in {here.name} can reach cluster {there.name}",
                f"nobody in {here.name} except {alice} can reach the internet",
            )[number % 4]
        )
    file = folder / "fleet.policy"
    file.write_text("\n".join(lines) + "\n")
    return file


def _is_on(member: Member) -> bool:
    return bool(member.settings.enabled)


def _cluster(random: Random, number: int, members: int) -> Iterator[str]:
    name = f"site-{number:03}"
    yield f'[cluster.{name}]\nnetwork = "10.{number}.0.0/24"\nnetwork6 = "fd00:{number:x}::/64"\n'
    written = random.random() < 0.5
    for place in range(members):
        yield f"[cluster.{name}.member.{name}-{place:03}]"
        yield f'name = "Place {place} of site {number}"'
        if written:
            yield f'address = "10.{number}.0.{place + 1}"'
        yield from _gateway(random, place)
        if random.random() < 0.3:
            yield f'ssh = "root@{name}-{place:03}.example"'
        if random.random() < 0.05:
            yield f"expires_at = 2099-{random.randint(1, 12):02}-{random.randint(1, 28):02}"
        if random.random() < 0.02:
            yield "enabled = false"
        yield ""


def _gateway(random: Random, place: int) -> Iterator[str]:
    tags = ["far"] if random.random() < 0.1 else []
    if random.random() < 0.3:
        tags.append("gateway")
        real, seen = f"192.168.{place}.0/24", f"172.16.{place}.0/24"
        mapped = random.random() < 0.2
        yield f'ciders = ["{seen if mapped else real}", "fd01:{place:x}::/64"]'
        if mapped:
            yield f'cider_mapping = {{ "{seen}" = "{real}" }}'
    if tags:
        yield f"tags = {tags}".replace("'", '"')
