"""Tasks -> their page."""

from __future__ import annotations

import re

import tasks
from rustun.ops.handbook.toolkit import tasks_page

TEXT = tasks_page(tasks.namespace).text


def test_every_task_is_on_the_page_below_its_subject() -> None:
    """An operator would not find a task that is there, or among others that have nothing to do with it."""
    assert set(re.findall(r"^### (\S+)$", TEXT, re.MULTILINE)) == set(tasks.namespace.tasks)
    subjects = re.split(r"^## ", TEXT, flags=re.MULTILINE)
    [of_hosts] = [part for part in subjects if "### deploy\n" in part]
    assert "### rollback\n" in of_hosts
    assert "### lab-up\n" not in of_hosts


def test_a_task_has_its_usage_options_and_examples() -> None:
    """Somebody would have to go back to the terminal for `--help`."""
    found = TEXT.split("### add-member\n")[1].split("\n### ")[0]
    assert "./invoke add-member CLUSTER IDENTITY [options]" in found
    assert re.search(r"^`.*--dry-run.*`\n: \S", found, re.MULTILINE)
    assert re.search(r"^```\n\./invoke add-member \S+", found, re.MULTILINE)


def test_tasks_still_explain_themselves_afterwards() -> None:
    """The page would be without words where a task made it: to be run, it was asked for its options before."""
    assert tasks_page(tasks.namespace).text == TEXT
    assert "(no words)" not in TEXT
