"""How Sphinx makes a site and man pages of this folder; `./invoke docs` runs it on a copy, with the generated pages."""

import json
from pathlib import Path

from docutils import nodes
from pygments.lexers.special import TextLexer

import rustun

HERE = Path(__file__).parent
MANUALS = HERE / "manuals.json"  # name, manual, summary, authors, section of each generated page that is a man page

project = "rustun"
release = version = rustun.__version__
language = "en"
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4  # links to a heading go by GitHub's names for it
highlight_language = "none"  # most blocks show a terminal
smartquotes = False  # -- is the beginning of an option

html_theme = "furo"
html_title = f"rustun {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

man_pages = [tuple(entry) for entry in json.loads(MANUALS.read_text())] if MANUALS.exists() else []
man_make_section_directory = True
man_show_urls = False


def text_alone(app, doctree, _name):
    """Leave the text alone of links from one page to another: a man page leads nowhere."""
    if app.builder.name == "man":
        for link in list(doctree.findall(nodes.reference)):
            if "://" not in link.get("refuri", ""):
                link.replace_self(link.children)


def setup(app):
    """Let blocks of bytes in hex stand as they are."""
    app.add_lexer("hex", TextLexer)
    app.connect("doctree-resolved", text_alone)
