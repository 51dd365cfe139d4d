"""The steps of lab-demo: up, all green, a slip in a copy of routes.json, red and explained, mended, a report, down.

Each step is told as it is done; an expectation that fails makes the exit code 5, and what still makes sense is done.
The report is written in any case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import wrap
from time import monotonic
from typing import Any, Final

from netlab.configuration import Configured
from netlab.control import documents
from netlab.demonstration import page, slip
from netlab.demonstration.slip import Slip
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, LabError
from netlab.isolation import prove
from netlab.isolation.expectation import Cell, Site, sites
from netlab.isolation.judgement import Verdict
from netlab.isolation.why import ROUTES, Explanation, shown_path
from netlab.lab import Files, Laboratory
from netlab.namespaces import replace_hosts_file
from netlab.phases import phases_text
from netlab.picture import echoes, scene_svg, sequence, sequence_svg
from netlab.picture.scene import scene
from netlab.report import WIDTH, verdict_facts
from netlab.topology import SERVER

SCHEMA: Final = 1
SOCKETS: Final = Path("/run/rustun")
REPORT: Final = "report.md"
LAB_PICTURE: Final = "lab.svg"
RED_PICTURE: Final = "red.svg"
Say = Callable[[str], None]


@dataclass(slots=True)
class Story:
    """What was done and found, as far as it went; `failures` is what was not as it has to be."""

    configured: Configured
    seed: int
    began: float = field(default_factory=monotonic)
    seconds: float = 0.0
    slip: Slip | None = None
    before: Verdict | None = None
    broken: Verdict | None = None
    mended: Verdict | None = None
    explanations: list[Explanation] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)

    @property
    def shown(self) -> Explanation | None:
        """The red cell that is told of: somebody who does not reach a host in the LAN, if there is one."""
        hosts = self.slip.hosts if self.slip is not None else ()
        first = (one for one in self.explanations if one.cell[1] in hosts)
        return next(first, self.explanations[0] if self.explanations else None)


def run(configured: Configured, seed: int, out: Path, logs: Path, *, as_json: bool) -> int:
    """Do it all inside the laboratory's own world and return the exit code.

    Args:
        seed: of the slip.
        out: folder for the report; is there.
    """
    say: Say = (lambda line: None) if as_json else (lambda line: print(line, flush=True))
    story = Story(configured, seed)
    clusters = len({member.cluster for member in configured.spec.members})
    say(
        f"rustun lab-demo: {clusters} tenants, {len(configured.spec.members)} members, one relay; on this machine alone"
    )
    lab = Laboratory(configured.spec, Files(configured.folder, logs, SOCKETS))
    replace_hosts_file(dict(lab.topology.names))
    try:
        _tell_the_story(story, lab, out, say)
    except LabError as error:
        say(f"  FAILED      {error}")
        story.failures.append(error.message)
    left = lab.close()
    story.failures += left
    say("  lab-down    " + ("; ".join(left) or "clean: no namespace, device, process or socket left"))
    story.seconds = monotonic() - story.began
    (out / REPORT).write_text("".join(f"{line}\n" for line in page.lines(story)))
    _say_end(story, out, say)
    if as_json:
        print(json.dumps(_facts(story, out, left), indent=2), flush=True)
    return EXIT_UNEXPECTED if story.failures else EXIT_OK


def _tell_the_story(story: Story, lab: Laboratory, out: Path, say: Say) -> None:
    lab.start()
    say(f"  lab-up      {len(lab.namespaces)} namespaces; {phases_text(lab.phases)}")
    server = next(one for one in documents.status(lab)["nodes"] if one["node"] == SERVER)
    members = {member.identity: lab.namespaces[member.identity] for member in lab.spec.members}
    trips = echoes.ask(members, server["addresses"][0].partition("/")[0])
    _picture(story, out / LAB_PICTURE, scene_svg.draw(scene(documents.status(lab), trips, live=True)))
    story.before = _prove(story, lab, "who reaches whom", say)
    routes = lab.files.configuration / ROUTES
    right = routes.read_bytes()
    story.slip = slip.choose(lab.spec, routes, story.seed)
    try:
        slip.make(story.slip, routes)
        lab.reload_server()
        say(f"  a slip      {story.slip}")
        story.broken = prove.probe(lab)
        judge(story, story.broken, story.slip, say)
        story.explanations = prove.explain(lab, story.broken, lab.files.logs / "why")
        _explain(story, story.slip, out, say)
    finally:
        routes.write_bytes(right)
    lab.reload_server()
    story.mended = _prove(story, lab, "mended", say)


def _picture(story: Story, file: Path, drawn: str) -> None:
    file.write_text(drawn)
    story.pictures.append(file.name)


def _prove(story: Story, lab: Laboratory, what: str, say: Say) -> Verdict:
    began = monotonic()
    verdict = prove.probe(lab)
    words = f"{verdict.probes} probes, {len(verdict.red)} surprises, {len(verdict.doubtful)} unproven"
    say(f"  proof       {what}: {words}, {monotonic() - began:.1f} s")
    if not verdict.as_expected:
        story.failures.append(f"{what}: not as the inventory says")
    return verdict


def cut_off(story: Story, slip: Slip) -> list[Cell]:
    """Return the cells that the slip has to turn red: between the LAN's hosts and the other members of the cluster."""
    spec = story.configured.spec
    others = [one.identity for one in spec.members if one.cluster == slip.cluster and one.identity != slip.gateway]
    return [cell for host in slip.hosts for other in others for cell in ((other, host), (host, other))]


def judge(story: Story, verdict: Verdict, slip: Slip, say: Say) -> None:
    """Note as failures what is not red and has to be, and what is red and may not."""
    red = verdict.red_cells
    words = f"{len(red)} of {len(verdict.cells)} cells red: {', '.join(_spelt(red))}"
    for line in wrap(words, WIDTH, initial_indent="  proof       ", subsequent_indent=" " * 14, break_on_hyphens=False):
        say(line)
    missed = [cell for cell in cut_off(story, slip) if cell not in red]
    concerned = {slip.gateway, *(one.node for one in sites(story.configured.spec) if _stands_in(one, slip))}
    others = [cell for cell in red if not concerned.intersection(cell)]
    story.failures += [f"{name} should be red and is not" for name in _spelt(missed)]
    story.failures += [f"{name} is red, and has nothing to do with the slip" for name in _spelt(others)]


def _stands_in(site: Site, slip: Slip) -> bool:
    """Tell whether a machine has an address of the LAN, in whichever cluster: packets name addresses, not machines."""
    return any(address in slip.right for address in site.addresses)


def _spelt(cells: list[Cell] | tuple[Cell, ...]) -> Iterator[str]:
    return (f"{sender} -> {target}" for sender, target in cells)


def _explain(story: Story, slip: Slip, out: Path, say: Say) -> None:
    shown = story.shown
    if shown is None:
        story.failures.append("no red cell was explained")
        return
    say("")
    for line in shown.lines:
        say(f"    {line}")
    say("")
    if f"{ROUTES}:{slip.line}:" not in str(shown):
        story.failures.append(f"the explanation of {shown.lines[0]} does not lead to line {slip.line} of {ROUTES}")
    if capture := next((line[len("  capture") :].strip() for line in shown.lines if line.startswith("  capture")), ""):
        diagram = sequence.arrange(*sequence.read(Path(capture)))
        _picture(story, out / RED_PICTURE, sequence_svg.draw(diagram, shown.lines[0]))


def _say_end(story: Story, out: Path, say: Say) -> None:
    say(f"  report      {shown_path(out / REPORT)}, {', '.join(story.pictures)}")
    if story.failures:
        say(f"not as expected, after {story.seconds:.0f} s: " + "; ".join(story.failures))
    else:
        say(f"found, explained and mended in {story.seconds:.0f} s.   Play on:")
        say(f"  ./invoke lab-up --inventory {shown_path(story.configured.source)}, then ./invoke lab-status")


def _facts(story: Story, out: Path, left: list[str]) -> dict[str, Any]:
    verdicts = {"before": story.before, "broken": story.broken, "mended": story.mended}
    written = asdict(story.slip) if story.slip is not None else {}
    return {
        "schema": SCHEMA,
        "inventory": str(story.configured.source),
        "seed": story.seed,
        "slip": written | {name: str(written[name]) for name in ("right", "wrong") if name in written},
        **{name: verdict_facts(found) if found is not None else None for name, found in verdicts.items()},
        "explanations": [one.lines for one in story.explanations],
        "report": [str(out / name) for name in (REPORT, *story.pictures)],
        "left": left,
        "failures": story.failures,
        "seconds": round(story.seconds, 1),
    }
