"""The report of lab-demo, as Markdown: what was there, what was broken, what turned red, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netlab.isolation.expectation import sites
from netlab.isolation.judgement import NO, RED, UNPROVEN, YES, Verdict
from netlab.isolation.why import shown_path
from netlab.topology import LabSpec

if TYPE_CHECKING:
    from netlab.demonstration.run import Story


def lines(story: Story) -> Iterator[str]:
    """Yield the lines of the report, as far as the story went."""
    spec = story.configured.spec
    yield f"# {spec.name}: {'not as expected' if story.failures else 'a slip, found and explained'}"
    yield ""
    yield f"`./invoke lab-demo` on {shown_path(story.configured.source)}, {story.seconds:.0f} s. Real kernels' network"
    yield "stacks, real rustun processes, real packets; nothing left this machine."
    yield from (f"- **{one}**" for one in story.failures)
    if "lab.svg" in story.pictures:
        yield from ("", "## The laboratory", "", "![the laboratory](lab.svg)")
    if story.before is not None:
        yield from ("", "## Before", "", _counted(story.before), "", *_table(spec, story.before))
    if story.slip is not None:
        yield from (
            "",
            "## The slip",
            "",
            "In a copy of what `gen-config` makes; the relay takes it without a word.",
            "",
        )
        yield from ("```diff", f'- "{story.slip.right}"', f'+ "{story.slip.wrong}"', "```")
        yield from ("", f"It stands in {story.slip}.")
    if story.broken is not None:
        yield from ("", "## After", "", _counted(story.broken), "", *_table(spec, story.broken))
    if story.shown is not None:
        yield from ("", "## Why", "", "```", *story.shown.lines, "```")
        if "red.svg" in story.pictures:
            yield from ("", "What its packets did:", "", "![packets at each tap, in the order of time](red.svg)")
    others = [one for one in story.explanations if one is not story.shown]
    for one in others:
        yield from ("", "```", *one.lines, "```")
    if story.mended is not None:
        yield from ("", "## Mended", "", _counted(story.mended))


def _counted(verdict: Verdict) -> str:
    word = "as the inventory says" if verdict.as_expected else "**not as the inventory says**"
    found = f"{verdict.probes} probes, {len(verdict.red)} surprises, {len(verdict.doubtful)} unproven"
    return f"{found}: {word}."


def _table(spec: LabSpec, verdict: Verdict) -> Iterator[str]:
    nodes = [site.node for site in sites(spec)]
    yield f"| from \\ to | {' | '.join(nodes)} |"
    yield f"|---|{':-:|' * len(nodes)}"
    for sender in nodes:
        yield f"| {sender} | {' | '.join(_cell(verdict, sender, target) for target in nodes)} |"


def _cell(verdict: Verdict, sender: str, target: str) -> str:
    found = verdict.cells.get((sender, target))
    wanted = "yes" if verdict.expected.get((sender, target)) else "no"
    if found is None:
        return ""
    return {YES: "yes", NO: "no", RED: f"**{wanted} / WRONG**", UNPROVEN: f"{wanted} / ?"}[found]
