"""The forms of Markdown that generated pages are made of."""

from __future__ import annotations

import pytest

from rustun.ops.handbook.pages import code, definitions, document, prose, see_also


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("Of standard error.", "Of standard error."),
        ("  two\n  lines ", "two lines"),
        ("[default: rustun0]", r"\[default: rustun0\]"),
        ("METHOD[:KEY], *_file, <b>, a|b", r"METHOD\[:KEY\], \*\_file, \<b\>, a\|b"),
        ("what `rustun status --json` *reads*", r"what `rustun status --json` \*reads\*"),
        ("one ` alone", r"one \` alone"),
    ],
)
def test_words_from_elsewhere_are_shown_as_they_are(text: str, markdown: str) -> None:
    """A reader would see half of an option, a link to nothing, or a word in italics that means something else."""
    assert prose(text) == markdown


def test_lists_and_pages_have_their_form() -> None:
    """Sphinx would take a term and its meaning for one paragraph."""
    assert definitions([("--out FILE", "Where to."), ("-v", "")]) == "`--out FILE`\n: Where to.\n\n`-v`\n: (no words)"
    assert document("# One", "", "Two.") == "# One\n\nTwo.\n"
    assert see_also([("server-toml", "server.toml", 5)]) == "## See also\n\n[server.toml(5)](server-toml.md)"
    assert code("a `b` c") == "``a `b` c``"
