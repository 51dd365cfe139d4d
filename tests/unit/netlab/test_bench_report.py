"""The bench's table."""

from __future__ import annotations

from netlab.bench import ROWS, Sample
from netlab.bench_report import ratio_to_plain, report_lines


def test_ratios_are_taken_within_a_repetition() -> None:
    """A machine that slows down in between would change the ratio."""
    values = [(0, "plain", 10.0), (0, "aes", 5.0), (1, "plain", 2.0), (1, "aes", 1.0)]
    samples = [Sample("tcp-1", variant, number, {"Gbit/s": value}) for number, variant, value in values]
    assert ratio_to_plain(samples, "aes", "Gbit/s") == 0.5


def test_the_table_fits_and_says_what_was_missed() -> None:
    """A figure that is missed has to stand out, and the table must not break in a terminal."""
    found = {"plain": 16.0, "aes": 8.0, "chacha": 2.0, "no-offload": 1.0}
    metrics = ("Gbit/s", "CPU s/GB")
    samples = [Sample("tcp-1", name, 0, dict.fromkeys(metrics, value)) for name, value in found.items()]
    lines = list(report_lines(ROWS[:1], samples))
    assert max(map(len, lines)) <= 110
    assert any("aes" in line and "0.50" in line and "reached" in line for line in lines)
    assert any("chacha" in line and "0.12" in line and "MISSED" in line for line in lines)


def test_every_figure_names_a_variant_of_its_row() -> None:
    """A figure for a variant that is not measured is never missed."""
    assert all(figure.variant in row.variants for row in ROWS for figure in row.figures)
