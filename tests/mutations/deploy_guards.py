"""The guards of deployments: what keeps a host whole, other people's hands off it, and what goes there current."""

from __future__ import annotations

from typing import Final

from tests.mutations.guard import Guard

FAR: Final = "tests/unit/ops/deploy/test_far.py"
ROLLOUT: Final = "tests/unit/ops/deploy/test_rollout.py"
EDITING: Final = "tests/unit/ops/editing/test_run.py"
ROTATING: Final = "tests/unit/ops/editing/test_rotating.py"
TASKS: Final = "tests/unit/ops/deploy/test_tasks_on_hosts.py"
UNCHANGED: Final = "tests/unit/ops/test_unchanged.py"
TOLD: Final = "tests/unit/ops/deploy/test_told.py"
ON_A_SERVER: Final = "tests/unit/ops/deploy/test_members_on_a_server.py"

DEPLOY_GUARDS: Final = (
    Guard(
        "files are current only while their bytes are the same",
        "ops/unchanged.py",
        "        self._hash.update(data)\n",
        "",
        f"{UNCHANGED}::test_nothing_is_believed_once_something_changed",
    ),
    Guard(
        "an answer from bytes that changed meanwhile is not kept",
        "ops/unchanged.py",
        "if look.newest < answer.since - CLOCK_S:",
        "if True:",
        f"{UNCHANGED}::test_what_changed_while_the_task_ran_is_not_kept",
    ),
    Guard(
        "nothing but our own places of a host is written",
        "ops/deploy/far/execution.py",
        'if path and (not f"{path}/".startswith(OURS) or ".." in path.split("/")):',
        "if False:",
        f"{FAR}::test_nothing_else_of_the_host_is_touched",
    ),
    Guard(
        "a failed step puts back what the steps before it changed",
        "ops/deploy/far/execution.py",
        "self._undo.pop()()",
        "self._undo.pop()",
        f"{FAR}::test_a_failed_step_puts_everything_back",
    ),
    Guard(
        "bytes arrive whole, or nothing is done",
        "ops/deploy/far/conversation.py",
        "if left or seen.hexdigest() != digest:",
        "if False:",
        f"{FAR}::test_bytes_that_changed_on_the_way_change_nothing",
    ),
    Guard(
        "steps are taken on the state that they were made for",
        "ops/deploy/far/conversation.py",
        'if newest != request["expect"]:',
        "if False:",
        f"{FAR}::test_a_second_operator_is_refused",
    ),
    Guard(
        "a wheel stays in its folder",
        "ops/deploy/far/release.py",
        'if os.path.isabs(target) or ".." in target.split("/"):',
        "if False:",
        f"{FAR}::test_a_wheel_that_leads_out_of_its_folder_is_refused",
    ),
    Guard(
        "what is done is what was shown",
        "ops/deploy/rollout.py",
        "if plan.steps != visit.plan.steps or plan.expect != visit.plan.expect:",
        "if False:",
        f"{ROLLOUT}::test_a_host_that_changed_since_the_plan_is_left_alone",
    ),
    Guard(
        "a server that fails ends a deployment",
        "ops/deploy/rollout.py",
        "return self.interrupted or servers or failures >= self.max_failures",
        "return self.interrupted or failures >= self.max_failures",
        f"{ROLLOUT}::test_a_server_that_fails_ends_it",
    ),
    Guard(
        "a new release proves itself on one member first",
        "ops/deploy/order.py",
        "if len(ready) > 1 and renewed:",
        "if False:",
        f"{ROLLOUT}::test_a_new_release_proves_itself_on_one_member_first",
    ),
    Guard(
        "a diff shows no key",
        "ops/deploy/document.py",
        'return f"/{SECRETS}/" in path or path.endswith(".key")',
        "return False",
        f"{TASKS}::test_a_diff_shows_no_secret",
    ),
    Guard(
        "a deployment asks, or is told --yes",
        "ops/deploy/deploying.py",
        "if manner.as_json or not sys.stdin.isatty():",
        "if False:",
        f"{TASKS}::test_nobody_to_ask_changes_nothing",
    ),
    Guard(
        "a key is on a host before a watched routes.json names it",
        "ops/deploy/steps.py",
        'key=lambda put: (f"/{SECRETS}/" not in put[0], put[0])',
        "key=lambda put: put[0]",
        "tests/unit/ops/deploy/test_steps.py::test_the_steps_of_each_behaviour[new-psk]",
    ),
    Guard(
        "a pre-shared key that is in use is not made anew",
        "ops/keyring.py",
        "problem = traces.of_psk(name, psks[name])",
        "problem = None",
        "tests/unit/ops/test_lost_keys.py::test_a_pre_shared_key_is_missed_by_either_side",
    ),
    Guard(
        "a key that is in use on a host is not replaced by one that was made anew",
        "ops/deploy/unfit.py",
        'if _is_made_once(path) and facts["files"].get(path, {"digest": file.digest})["digest"] != file.digest:',
        "if False:",
        f"{TASKS}::test_keys_that_were_lost_here_are_not_exchanged_everywhere",
    ),
    Guard(
        "a step of a rotation waits until every host has the one before",
        "ops/editing/rotating.py",
        "        if pending.behind:\n",
        "        if False:\n",
        f"{ROTATING}::test_each_step_waits_for_its_deployment",
    ),
    Guard(
        "a server has the step before, whoever's keys are exchanged",
        "ops/editing/rotating.py",
        "names = [*(server.name for server in inventory.servers), *(",
        "names = [*(",
        f"{ROTATING}::test_one_member_waits_for_its_host_and_the_servers",
    ),
    Guard(
        "a client that begins to read a key of another's gets it at a start of its own",
        "ops/deploy/steps.py",
        'return path in self.fresh or unit not in known.get("restart", ())',
        "return path in self.fresh",
        "tests/unit/ops/deploy/test_steps.py::test_the_steps_of_each_behaviour[key-new-to-a-unit]",
    ),
    Guard(
        "what a host tells is looked at before it is used",
        "ops/deploy/ssh.py",
        "if found := list(nonsense(answer)):",
        "if found := list(nonsense(answer))[:0]:",
        f"{TOLD}::test_an_answer_of_another_shape_is_a_host_that_does_not_answer",
    ),
    Guard(
        "a member's host names no hosts to be cleared",
        "ops/deploy/survey.py",
        "for ssh, told in facts.items() if SERVER_UNIT in asked[ssh].services}",
        "for ssh, told in facts.items()}",
        f"{TOLD}::test_a_member_names_no_hosts_to_be_cleared",
    ),
    Guard(
        "a list of hosts holds no options of ssh",
        "ops/deploy/told.py",
        "if ssh and _reaches(ssh)}",
        "if ssh}",
        f"{TOLD}::test_a_list_of_hosts_that_is_none",
    ),
    Guard(
        "a plan names who comes in again with the deployed file",
        "ops/deploy/document.py",
        "return members_file(known.facts) if restarts else ROUTES",
        "return ROUTES",
        f"{ON_A_SERVER}::test_a_change_in_a_file_of_the_servers_own_is_named_too",
    ),
    Guard(
        "a server that is led back to its file is started again",
        "ops/deploy/steps.py",
        "self._fixed_differs(path) or self._leads_back(unit, path)",
        "self._fixed_differs(path)",
        f"{ON_A_SERVER}::test_a_change_in_a_file_of_the_servers_own_is_named_too",
    ),
    Guard(
        "a destination is no option of ssh",
        "ops/destination.py",
        'if any(part.startswith("-") for part in re.split("[@/]", text)):',
        "if False:",
        "tests/unit/ops/test_destination.py::test_an_option_is_no_host",
    ),
    Guard(
        "a new member does not come by the key of an earlier one",
        "ops/editing/run.py",
        "        if new:\n",
        "        if False:\n",
        f"{EDITING}::test_a_new_member_does_not_come_by_the_key_of_an_earlier_one",
    ),
)
