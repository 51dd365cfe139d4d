"""What `./invoke` runs: the project's tasks, and words for what was typed wrong."""

from rustun import __version__
from rustun.ops.tasks.typed import Tasks

Tasks(name="invoke", binary="./invoke", binary_names=["invoke"], version=__version__).run()
