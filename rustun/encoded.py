"""What is JSON already, among values that are not yet: text that is made once need not be made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class EncodedItems:
    """The items of a list, each of them as JSON text, made when it is asked for; to be gone through once.

    Args:
        texts: each one value, in ASCII and without a newline.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)
