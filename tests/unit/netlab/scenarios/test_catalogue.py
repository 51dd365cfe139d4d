"""The scenarios that there are."""

from __future__ import annotations

import pytest

from netlab.errors import BadInput
from netlab.scenarios.catalogue import ALL, KERNEL_TESTS, SCENARIOS, chosen
from netlab.scenarios.kernel_tests import KernelTests
from netlab.scenarios.scenario import Scenario


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_everything_is_said_of_a_scenario(scenario: Scenario) -> None:
    """People would be shown a step without words, or a network without its picture."""
    assert scenario.shows.endswith(".")
    assert len(scenario.shows) < 120
    assert scenario.picture
    assert all(words.endswith(".") and len(words) < 120 for words in scenario.words), scenario.words
    assert len(set(scenario.words)) == len(scenario.words)


@pytest.mark.parametrize("tests", KERNEL_TESTS.values(), ids=KERNEL_TESTS)
def test_tests_against_the_kernel_have_names_and_words(tests: KernelTests) -> None:
    """People would see a file of tests without a word about it, or one instead of a scenario of that name."""
    assert tests.tests
    assert tests.shows.endswith(".")
    assert tests.name not in SCENARIOS


def test_scenarios_are_chosen_by_name_pattern_and_all() -> None:
    """A run would leave out what was asked for."""
    assert [one.name for one in chosen("narrow-path, roam*")] == ["narrow-path", "roaming"]
    assert [one.name for one in chosen("roaming,roaming")] == ["roaming"]
    assert [one.name for one in chosen("all")] == list(ALL)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("roming", 'no scenario "roming"\n  did you mean roaming\\? ./invoke lab-run --list names all'),
        ("roaming,x*", 'no scenario "x\\*"\n  ./invoke lab-run --list'),
        (" ,", "no scenario is named"),
    ],
)
def test_nothing_is_run_where_a_word_names_nothing(words: str, said: str) -> None:
    """A slip would run less than was asked for, and pass."""
    with pytest.raises(BadInput, match=said):
        chosen(words)
