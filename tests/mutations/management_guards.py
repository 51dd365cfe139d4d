"""Guards of what changes the members' file: the API, and a control plane."""

from __future__ import annotations

from typing import Final

from tests.mutations.guard import Guard

UNIT: Final = "tests/unit/web"
MANAGEMENT_GUARDS: Final = (
    Guard(
        "a member's key is not replaced by an edit",
        "web/management.py",
        'if entry.get("public_key") and "public_key" in values and values["public_key"] != entry["public_key"]:',
        "if False:",
        f"{UNIT}/test_management.py::test_what_keeps_somebody_out_is_not_taken_away",
    ),
    Guard(
        "a tier only rises by an edit",
        "web/management.py",
        "if after is not None and after < (before or Tier.KEY):",
        "if False:",
        f"{UNIT}/test_management.py::test_what_keeps_somebody_out_is_not_taken_away",
    ),
    Guard(
        "what the server would refuse is not written",
        "web/management.py",
        "        read = _judge(after)\n",
        "        read = RoutesFile((), ())\n",
        f"{UNIT}/test_management.py::test_what_makes_no_sense_is_refused_in_words",
    ),
    Guard(
        "a change is made to what was shown",
        "web/routes_on_disk.py",
        "if shown and shown != present.digest:",
        "if False:",
        f"{UNIT}/test_routes_on_disk.py::test_who_comes_too_late_is_told_what_changed",
    ),
    Guard(
        "the lock of a members' file is nobody else's",
        "web/routes_on_disk.py",
        'lock = path.with_name(f".{path.name}.lock")',
        "lock = path",
        f"{UNIT}/test_routes_on_disk.py::test_nobody_else_can_hold_writers_up",
    ),
    Guard(
        "nobody is written over",
        "web/routes_on_disk.py",
        "if read_bytes(path, MAX_ROUTES_BYTES) != proposal.before.data:",
        "if False:",
        f"{UNIT}/test_routes_on_disk.py::test_nobody_is_written_over",
    ),
    Guard(
        "who changes what a deployment takes back is told so",
        "web/routes_on_disk.py",
        "(*proposal.notes, DOES_NOT_LAST)",
        "proposal.notes",
        f"{UNIT}/test_routes_on_disk.py::test_a_host_that_is_deployed_has_its_members_elsewhere",
    ),
    Guard(
        "a misspelt preview is no change",
        "web/bodies.py",
        "        if key not in known:\n",
        "        if False:\n",
        f"{UNIT}/test_api.py::test_a_preview_changes_nothing_and_shows_everything",
    ),
    Guard(
        "a control plane does not empty the file by mistake",
        "web/sync_members.py",
        "if not wanted and before.entries and not allow_empty:",
        "if False:",
        f"{UNIT}/test_sync_members.py::test_no_members_at_all_has_to_be_allowed",
    ),
    Guard(
        "the token of a control plane goes nowhere else",
        "web/sync.py",
        "allow_redirects=False",
        "allow_redirects=True",
        f"{UNIT}/test_sync.py::test_whatever_it_answers_the_last_good_set_stays",
    ),
)
