"""What all tasks share: where the checkout is, how options are read, and how a task ends."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import invoke
from invoke import Argument, Exit, Task

from rustun.ops.ending import words_for
from rustun.ops.exit_codes import ENVIRONMENT, INTERRUPTED, UNREAD

ROOT: Final = Path(__file__).resolve().parents[3]
DEMO: Final = str(ROOT / "inventory" / "demo.toml")
INVENTORY: Final = os.environ.get("RUSTUN_INVENTORY", DEMO)
INVENTORY_HELP: Final = "inventory to take, a file or a folder (default: $RUSTUN_INVENTORY, else inventory/demo.toml)"
JSON_HELP: Final = "print the same facts as JSON, and nothing else, on standard output"

OUT_HELP: Final = "folder of the generated files (default: build/NAME, NAME being the fleet's)"
SSH_HELP: Final = "ssh_config to use instead of your own"
LETTERS: Final = {
    "inventory": "i",
    "out": "o",
    "json": "j",
    "yes": "y",
    "limit": "l",
    "check": "c",
    "diff": "d",
    "dry-run": "n",
    "set": "s",
    "member": "m",
    "write": "w",
}


class Lettered(Task):
    """A task whose options have the same letter in all tasks, or none.

    Args:
        gathers: its only positional argument is any number of words, which reach it joined by commas.
        after_dashes: what has to stand behind `--` (`after_dashes` below), as its help calls it; empty: nothing.
    """

    help: dict[str, str]

    def __init__(self, *arguments: Any, gathers: bool = False, after_dashes: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gathers = gathers
        self.after_dashes = after_dashes

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments; invoke takes the help out of a task that is asked, and has none the next time."""
        words = dict(self.help)
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        self.help = words
        return arguments

    def arg_opts(self, name: str, default: str, taken_names: set[str]) -> dict[str, Any]:
        """Return how an argument is read."""
        read: dict[str, Any] = super().arg_opts(name, default, taken_names)
        long = read["names"][0]
        read["names"] = [long, LETTERS[long]] if long in LETTERS else [long]
        return read


task: Final = functools.partial(invoke.task, klass=Lettered)


def end(code: int) -> None:
    """End the task with an exit code; 0 just returns."""
    if code:
        raise Exit(code=code)


def stoppable(body: Callable[..., None]) -> Callable[..., None]:
    """Return the body of a task that ctrl-C ends with a word and 130, as a shell says of it.

    Where nobody reads on, as behind `head`, it ends with 141 and no word; what a terminal cannot show is escaped.
    What the system refuses, memory and room for standard output too, ends it with words and 4.
    """
    name = body.__name__.replace("_", "-")

    @functools.wraps(body)
    def run(*arguments: Any, **options: Any) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            try:
                body(*arguments, **options)
            finally:
                print(end="", flush=True)
        except BrokenPipeError:
            give_up_output()
            raise Exit(code=UNREAD) from None
        except OSError as error:
            give_up_output()
            if isinstance(error.__context__, Exit):  # the end of the task, which has told already what is wrong
                raise error.__context__ from None
            raise Exit("\n".join(words_for(name, error)), code=ENVIRONMENT) from None
        except MemoryError:
            told = f"{name}: memory is short; each file is as it was, or as it should be"
            raise Exit(f"{told}\n  end what else runs here, then run it again", code=ENVIRONMENT) from None
        except KeyboardInterrupt:
            message = f"\n{name}: interrupted; each file is as it was, or as it should be; run it again to go on"
            raise Exit(message, code=INTERRUPTED) from None

    return run


def give_up_output() -> None:
    """Let what is left to flush go nowhere."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what stands for it in memory has nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def number(option: str, text: str, low: float, high: float) -> float:
    """Return what was typed for an option; end the task with 2 where it is no number from `low` to `high`."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        refuse(f'{option}: "{text}" is not a number from {low:g} to {high:g}', f"as in {option} {max(low, 2):g}")
    return value


def new_file(option: str, file: str) -> str:
    """Return a file to be written later; end the task with 2 now where that will not be possible."""
    folder = Path(file).absolute().parent
    if file and (not os.access(folder, os.W_OK) or Path(file).is_dir()):
        refuse(f"{option}: {file} cannot be written", f"name a file in a folder that is there, not in {folder}")
    return file


def refuse(what: str, remedy: str) -> None:
    """Say what is wrong with the arguments and what to write instead; end the task with 2."""
    print(f"invoke: {what}\n  {remedy}", file=sys.stderr)
    end(2)


def after_dashes() -> list[str]:
    """Return the words after `--` exactly as they were typed."""
    return sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
