"""What `./invoke` runs, as a file: the project's tasks, from whatever folder, and words for what was typed wrong."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[3])  # the checkout, in the place of this folder

from rustun import __version__  # noqa: E402
from rustun.ops.tasks.typed import Tasks  # noqa: E402

Tasks(name="invoke", binary="./invoke", binary_names=["invoke"], version=__version__).run()
