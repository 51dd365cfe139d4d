"""The project's tasks, by subject in the modules named below.

    ./invoke --list              all of them
    ./invoke --help gen-config   one of them, with examples

Exit codes: 0 ok, 2 bad input or nothing run, 3 `--check` found something that is not current, 4 the environment lacks
something, 5 an expectation failed, 130 interrupted, 141 nobody reads on (1 is invoke's own). Nothing heavy is imported
before it is needed.
"""

from __future__ import annotations

from invoke import Collection, Task

import netlab.bench.tasks
import netlab.capture.tasks
import netlab.control.tasks
import netlab.isolation.tasks
import netlab.links.tasks
import netlab.picture.tasks
import netlab.scenarios.tasks
import netlab.tasks
import rustun.ops.tasks.editing
import rustun.ops.tasks.fleet
import rustun.ops.tasks.hosts
import rustun.ops.tasks.project
from rustun.ops.tasks.arguments import stoppable

namespace = Collection()
for module in (
    rustun.ops.tasks.fleet,
    rustun.ops.tasks.editing,
    rustun.ops.tasks.hosts,
    netlab.tasks,
    netlab.control.tasks,
    netlab.isolation.tasks,
    netlab.links.tasks,
    netlab.capture.tasks,
    netlab.picture.tasks,
    netlab.scenarios.tasks,
    netlab.bench.tasks,
    rustun.ops.tasks.project,
):
    for found in vars(module).values():
        if isinstance(found, Task):
            found.body = stoppable(found.body)
            namespace.add_task(found)
