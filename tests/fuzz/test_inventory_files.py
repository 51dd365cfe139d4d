"""Inventory files: a fleet whose generated configuration the runtime takes, or all problems; nothing else."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rustun.errors import ConfigError
from rustun.ops.inventory import load_inventory
from rustun.ops.render import plan_render, write_plan
from rustun.ops.templating import toml_value

GOLDEN = Path(__file__).parents[1] / "golden" / "inventory"
DEMO = Path(__file__).parents[2] / "inventory" / "demo.toml"
TEXTS = [DEMO.read_bytes(), *(path.read_bytes() for path in sorted(GOLDEN.glob("*.toml")))]
NAMES = st.text(min_size=1, max_size=6).filter(lambda name: name.isprintable() and name == name.strip())
LANS = st.sampled_from(["192.168.1.0/24", "192.168.0.0/16", "fd00:a::/64", "0.0.0.0/0", "10.0.0.7/32", "172.16.0.1/12"])
PUBLIC_KEYS = [base64.b64encode(bytes([first] * 32)).decode() for first in (1, 2, 255)]  # the last one is none
MEMBERS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {},
        optional={
            "name": NAMES,
            "address": st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.254", "10.1.0.1"]),
            "ciders": st.lists(LANS, max_size=2, unique=True),
            "tags": st.lists(NAMES, max_size=2),
            "mtu": st.integers(500, 1600),
            "enabled": st.booleans(),
            "tier": st.sampled_from(["key", "shared", "legacy", "shred"]),
            "key": st.integers(0, 2) | st.lists(st.integers(1, 3), max_size=3),
            "public_key": st.lists(st.sampled_from(PUBLIC_KEYS), max_size=2),
            "keepalive_interval": st.integers(0, 20),
        },
    ),
    max_size=4,
)


def judged(data: bytes) -> bool:
    """Return whether bytes are an inventory; when they are, the runtime's parsers read back all that it generates."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "fleet.toml")
        file.write_bytes(data)
        try:
            inventory = load_inventory(file)
        except ConfigError as error:
            assert all(problem.file and problem.reason for problem in error.problems)
            assert any(problem.level == "error" for problem in error.problems)
            return False
        write_plan(plan_render(inventory, Path(folder, "out")))
        return True


@given(st.sampled_from(TEXTS), st.integers(0, 4000), st.integers(0, 20), st.binary(max_size=8))
def test_damaged_files_are_refused_in_words(text: bytes, at: int, cut: int, instead: bytes) -> None:
    """A slip of the editor would end in a traceback."""
    at %= len(text) + 1
    judged(text[:at] + instead + text[at + cut :])


@settings(max_examples=60)
@given(MEMBERS)
def test_what_the_inventory_takes_the_runtime_takes(members: dict[str, dict[str, object]]) -> None:
    """An inventory without a problem would generate files that a server refuses at its next start."""
    text = '[fleet]\nname = "f"\nservers = [{ address = "a.example:1" }]\n[cluster.c]\nnetwork = "10.0.0.0/24"\n'
    for identity, values in members.items():
        text += f"[cluster.c.member.{toml_value(identity)}]\n"
        text += "".join(f"{key} = {toml_value(value)}\n" for key, value in values.items())
    judged(text.encode())


def test_the_demo_itself_is_taken() -> None:
    """The two tests above would pass if everything were refused."""
    assert judged(DEMO.read_bytes())
