"""The members' file, read and changed beside the loop, by one at a time.

Rules of this module
  1. Which file that is the server itself says (`routes.file` of its status document); while it does not answer, it is
     the one that it said before.
  2. What blocks runs on a thread. A change that has begun is ended, also when nobody waits for it any more.
  3. Every change is told to the server, whose log and audit log have it then, with who made it from where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

from rustun.errors import HostError
from rustun.logs import EventLog
from rustun.web.changes import Change
from rustun.web.management import Proposal, Refused
from rustun.web.routes_on_disk import Make, RoutesOnDisk
from rustun.web.routes_text import RoutesText
from rustun.web.source import Source

T = TypeVar("T")
ACTIONS: Final[Mapping[Literal["added", "removed", "changed"], str]] = {
    "added": "add",
    "removed": "remove",
    "changed": "change",
}
MAX_NOTED: Final = 100  # changes; of more it is said besides that there were more
MAX_KEYS_CHARACTERS: Final = 200


class Editor:
    """Reads and changes the members' file of the server that `source` asks.

    Args:
        log: told of the changes that the server does not hear of.
    """

    def __init__(self, source: Source, log: EventLog) -> None:
        self._source = source
        self._log = log
        self._disk: RoutesOnDisk | None = None
        self._lock = asyncio.Lock()

    async def read(self) -> RoutesText:
        """Return the file as it is now. Raises: Refused: there is none. ConfigError: not readable, or no list."""
        return await self._alone(RoutesOnDisk.read)

    async def propose(self, make: Make, shown: str = "") -> Proposal:
        """Return what a change would do. Raises: Refused, ConfigError, as RoutesOnDisk.propose."""
        return await self._alone(lambda disk: disk.propose(make, shown))

    async def change(self, make: Make, shown: str = "", *, by: str) -> Proposal:
        """Make a change, and return what it did.

        Args:
            make: makes the proposal from the present state; called on a thread.
            shown: digest of the state that the change was thought of for; empty for whatever it is now.
            by: who, for the log.

        Raises: Refused: nothing was changed. ConfigError: as `read`.
        """
        return await asyncio.shield(self._change(make, shown, by))

    async def _change(self, make: Make, shown: str, by: str) -> Proposal:
        def work(disk: RoutesOnDisk) -> Proposal:
            proposal = disk.propose(make, shown)
            if proposal.after.digest != proposal.before.digest:
                disk.write(proposal)
            return proposal

        proposal = await self._run(work)
        if proposal.after.digest != proposal.before.digest:
            await self._note(proposal.changes, by)
        return proposal

    async def _note(self, made: Sequence[Change], by: str) -> None:
        """Have the server's log say what was changed; where it does not take that, ours says it."""
        facts = [
            {
                "action": ACTIONS[change.kind],
                "cluster": change.cluster,
                "identity": change.identity,
                "changed": ", ".join(key for key, _, _ in change.fields)[:MAX_KEYS_CHARACTERS],
                "by": by,
            }
            for change in made[:MAX_NOTED]
        ]
        if len(made) > MAX_NOTED:
            facts.append({"action": "replace", "cluster": "", "identity": "", "changed": "", "by": by})
        heard = True
        for fact in facts:
            try:
                if heard:
                    await self._source.ask("management", **fact)
            except HostError:
                heard = False
            if not heard:
                what = fact["identity"] or "the members"
                self._log.event(
                    "info",
                    "management",
                    f"{what}: {fact['action']}",
                    action=fact["action"],
                    cluster=fact["cluster"],
                    identity=fact["identity"],
                    by=fact["by"],
                    changed=fact["changed"],
                )

    async def _alone(self, work: Callable[[RoutesOnDisk], T]) -> T:
        return await asyncio.shield(self._run(work))

    async def _run(self, work: Callable[[RoutesOnDisk], T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(work, await self._on_disk())

    async def _on_disk(self) -> RoutesOnDisk:
        try:
            document = (await self._source.snapshot()).document
        except HostError:
            if self._disk is None:
                raise
            return self._disk
        routes = document.get("routes")
        file = routes.get("file") if isinstance(routes, dict) else None
        if not isinstance(file, str) or not file:
            raise Refused("missing", "there is no members' file here", "ask the server, not a client")
        if self._disk is None or self._disk.path != Path(file):
            self._disk = RoutesOnDisk(Path(file))
        return self._disk
