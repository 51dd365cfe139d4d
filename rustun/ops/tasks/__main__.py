"""What `./invoke` runs, as a file: the project's tasks, from whatever folder, and words for what was typed wrong."""

import gc
import sys
from pathlib import Path
from types import ModuleType

gc.set_threshold(50_000, 20, 100)  # a task ends soon, and a large fleet's records live as long: less looking for cycles
sys.path[0] = str(Path(__file__).resolve().parents[3])  # the checkout, in the place of this folder

# invoke loads unittest.mock, and with it asyncio, for the tests of others' tasks alone: a tenth of the time of a start.
sys.modules["unittest.mock"] = stand_in = ModuleType("unittest.mock")
stand_in.Mock = object  # type: ignore[attr-defined]
from rustun import __version__  # noqa: E402
from rustun.ops.tasks.typed import Tasks  # noqa: E402

del sys.modules["unittest.mock"]  # whoever wants it later gets the real one

Tasks(name="invoke", binary="./invoke", binary_names=["invoke"], version=__version__).run()
