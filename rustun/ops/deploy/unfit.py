"""Why a host cannot be as wished, and what on it is not as it was left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rustun.ops.deploy.far.system import CONFIG, PROGRAM, STATE
from rustun.ops.deploy.records import HostWish, Json, Release
from rustun.ops.filenames import SECRETS, SHARED_KEY
from rustun.ops.units import SERVER_UNIT

SPARE_BYTES: Final = 16 << 20  # beyond what is counted: names, compiled modules, the host's own needs
CONFIG_BYTES: Final = 1 << 20  # room for a few files
MAX_CLOCK_SECONDS: Final = 120.0  # more would make `expires_at` come at another time than people expect
MEBIBYTE: Final = 1 << 20
ROUTES: Final = f"{CONFIG}/routes.json"


def unfit(facts: Json, wish: HostWish, release: Release) -> Iterator[str]:
    """Yield every reason why steps to the wish must not be taken on a host."""
    if not facts["systemd"]:
        yield "systemd does not run here; deploy by hand: docs/deploy.md"
    needed = {CONFIG: CONFIG_BYTES, STATE: CONFIG_BYTES}
    if wish.release and release.digest not in facts["releases"]:
        needed[PROGRAM] = release.unpacked_bytes + SPARE_BYTES
        if release.missing:
            yield release.missing
    for place, wanted in sorted(needed.items()):
        free = facts["free_bytes"][place]
        if wish.release and free < wanted:
            yield f"no room: {place} has {free / MEBIBYTE:.1f} MiB free and needs {wanted / MEBIBYTE:.0f} MiB"
    for path in wish.needs:
        if path not in facts["files"]:
            yield f"{path} is not there: whoever brought the public key puts the private one there, by hand, 0600"
    for path, file in sorted(wish.files.items()):
        if _is_made_once(path) and facts["files"].get(path, {"digest": file.digest})["digest"] != file.digest:
            yield f"{path} is another key than here (./invoke secrets-open)"


def _is_made_once(path: str) -> bool:
    """Return whether a file holds a key that never changes: the next one has another name, or comes after none."""
    return path.startswith(f"{CONFIG}/{SECRETS}/") and path != f"{CONFIG}/{SHARED_KEY}"


def drift_notes(facts: Json, wish: HostWish, last: Json | None) -> Iterator[str]:
    """Yield what somebody changed on the host since the last deployment, and not into what is wished now."""
    for path, file in sorted((last or {"files": {}})["files"].items()):
        there = facts["files"].get(path)
        if there is None:
            yield f"{path} was removed on the host"
        elif path in wish.files and there["digest"] == wish.files[path].digest != file["digest"]:
            continue  # a run that was cut off: it is no drift
        elif there["digest"] != file["digest"]:
            yield f"{path} was edited on the host"
        elif any(there[key] != file[key] for key in ("mode", "owner", "group")):
            found = f"{there['mode']} {there['owner']}:{there['group']}"
            yield f"{path} has other rights on the host: {found}"


def members_file(facts: Json) -> str:
    """Return the members' file that a server reads now; the deployed one where it does not say."""
    pid = facts["units"].get(SERVER_UNIT, {}).get("pid")
    for document in facts["status"]:
        if pid and document.get("pid") == pid and document.get("role") == "server":
            return str((document.get("routes") or {}).get("file") or ROUTES)
    return ROUTES


def members_note(facts: Json, wish: HostWish) -> Iterator[str]:
    """Yield a word on a server that reads its members from a file that no deployment writes."""
    path = members_file(facts)
    if SERVER_UNIT in wish.services and path != ROUTES:
        yield f"its members are in {path} now"


def clock_note(facts: Json, now: float) -> Iterator[str]:
    """Yield a word on a clock that is far from ours."""
    ahead = facts["clock"] - now
    if abs(ahead) > MAX_CLOCK_SECONDS:
        where = "ahead of" if ahead > 0 else "behind"
        yield f"its clock is {abs(ahead) / 60:.0f} min {where} the one here"
