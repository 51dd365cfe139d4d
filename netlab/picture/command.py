"""`lab-sequence`: draw what a capture holds; `lab-picture`: draw a laboratory, planned or running."""

from __future__ import annotations

import sys
from pathlib import Path

from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, LabError
from netlab.picture import sequence, sequence_svg, sequence_text


def draw_sequence(file: Path, *, form: str, acknowledgements: bool) -> int:
    """Print the diagram of a capture as text or SVG; 5 where it holds no packet."""
    try:
        diagram = sequence.arrange(*sequence.read(file), acknowledgements=acknowledgements)
    except LabError as error:
        print(f"lab-sequence: {error}", file=sys.stderr)
        return error.exit_code
    drawn = sequence_svg.draw(diagram, file.stem) if form == "svg" else sequence_text.draw(diagram)
    print(drawn, end="")
    return EXIT_OK if diagram.rows else EXIT_UNEXPECTED
