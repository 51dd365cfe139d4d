"""What a host shall be like, as frozen records; JSON on the host (manifest.json) and in the case files of the tests.

A manifest is a wish that came true: whoever reads an old one has what the host was like then, and by its digests the
copies of the files (far/execution.py keeps them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

SCHEMA: Final = 1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WishedFolder:
    """A folder of ours: mode in four octal digits, owner, group."""

    mode: str
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True)
class WishedFile:
    """One file of a host.

    Attributes:
        digest: SHA-256 of its bytes, in hex; empty while nobody has looked.
        mode: four octal digits.
        owner, group: names on the host.
        reload: units that read it again when they are told to.
        restart: units that read it only at their start.
        fixed: digest of the part that the units of `reload` read only at their start; empty where there is none.
    """

    digest: str = ""
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    reload: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    fixed: str = ""


@dataclass(frozen=True, slots=True)
class WishedService:
    """One unit of a host.

    Attributes:
        runs: now and after every start of the host; else neither.
        identity: of the member that it serves; empty for a server.
        members: that a server has in its routes.json.
        verify: whether it has to be seen at work. Not so for a member whose time is over: the server refuses it.
    """

    runs: bool
    identity: str = ""
    members: int = 0
    verify: bool = True


@dataclass(frozen=True, slots=True)
class HostWish:
    """Everything that a host shall have of us; nothing at all for one that shall be left.

    Attributes:
        ssh: how it is reached: what `ssh` takes.
        names: servers and members on it, for people.
        release: digest of the release in use; empty for a host that is left.
        version: that its programs tell.
        user: whether the user `rustun` has to be there.
        needs: files that their owners put there, without which the services do not start.
        web: whether its release has the packages of the web process.
    """

    ssh: str
    names: tuple[str, ...]
    release: str = ""
    version: str = ""
    user: bool = False
    files: Mapping[str, WishedFile] = field(default_factory=dict)
    folders: Mapping[str, WishedFolder] = field(default_factory=dict)
    services: Mapping[str, WishedService] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    web: bool = False

    def manifest(self) -> Json:
        """Return it as JSON knows it; without how the host is reached, and what only chooses its release."""
        left_out = ("ssh", "web")
        return {"schema": SCHEMA, **{key: value for key, value in plain(asdict(self)).items() if key not in left_out}}


def plain(value: Any) -> Any:
    """Return a value with lists in the place of tuples, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def wish_of(ssh: str, manifest: Json) -> HostWish:
    """Return what a manifest says as a wish: how a host comes back to an earlier generation."""
    return HostWish(
        ssh=ssh,
        names=tuple(manifest["names"]),
        release=manifest["release"],
        version=manifest["version"],
        user=manifest["user"],
        files={path: WishedFile(**_tuples(file)) for path, file in manifest["files"].items()},
        folders={path: WishedFolder(**folder) for path, folder in manifest["folders"].items()},
        services={unit: WishedService(**service) for unit, service in manifest["services"].items()},
        needs=tuple(manifest["needs"]),
    )


def _tuples(record: Json) -> Json:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}


@dataclass(frozen=True, slots=True)
class Release:
    """What has to be installed where a host does not have the release that it shall have.

    Attributes:
        digest: names it.
        python, python_version: the host's interpreter that it is made with.
        wheels: file name and SHA-256 of each wheel.
        unpacked_bytes: room that it takes.
        missing: why it cannot be had; empty when it can.
    """

    digest: str
    python: str = ""
    python_version: str = ""
    wheels: tuple[tuple[str, str], ...] = ()
    unpacked_bytes: int = 0
    missing: str = ""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """The way from what a host is like to what it shall be like.

    Attributes:
        wish: where it leads.
        expect: number of the newest generation that the plan was made for; 0 for none.
        steps: in their order, as far/execution.py takes them; none when there is nothing to do.
        problems: why the steps must not be taken; then there may be steps all the same, for people to see.
        notes: worth knowing: files that somebody edited on the host, a clock that is wrong.
        notices: who or what will notice the steps.
    """

    wish: HostWish
    expect: int
    steps: tuple[Json, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
