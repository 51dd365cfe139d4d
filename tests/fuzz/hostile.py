"""Inputs made to cost much, each read by every decoder, in a process that may not use much.

    python -m tests.fuzz.hostile

Rules of this module
  1. Each input may take CPU_SECONDS of processor time, several times what the slowest linear reader takes, and all
     together MEMORY_BYTES more than the process had before; the kernel enforces both (setrlimit). So what is quadratic,
     or a pattern that backtracks, ends the process, and its last line says what it was reading.
  2. What an input is called says how it was made.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.fuzz.decoders import Decoder
from tests.fuzz.mutation import TOKEN
from tests.fuzz.test_decoders import VALID

CPU_SECONDS: Final = 1  # of at least; limits are whole seconds
MEMORY_BYTES: Final = 256 << 20
MAX_BYTES: Final = 120_000
LONG_VALUES: Final = {"long text": b'"' + b"A" * 20_000 + b'"', "list": b'["x"' + b',"x"' * 5_000 + b"]"}
VALUES_PER_EXAMPLE: Final = 40
REPEATED: Final = (
    b"[", b'{"a":', b'"', b"'", b"\\", b'"\\', b'"a', b"9", b"-", b".", b"a.", b"[a.", b"[[a]]\n", b"[a]\n", b"a=1\n",
    b"a={", b"a=[", b'a="""', b"#", b" ", b"\n", b"\r\n", b"\0", b"\xff", b",", b":", b"%", b"/", b"=", b"{},", b"[],",
    b"1,", b"null,", b"[{", b'{"identity":', b"\xe2\x80\xae", b"\xed\xa0\x80",
)  # fmt: skip
AROUND: Final = (
    (b"[", b"7,", b"7]"),
    (b'{"a":', b"9", b"}"),
    (b'{"a":1.', b"9", b"}"),
    (b'{"a":1e', b"9", b"}"),
    (b'{"a":"', b"\\u0041", b'"}'),
    (b"{", b'"k":1,', b'"k":1}'),
    (b"[{", b'"k":1,', b'"k":1}]'),
    (b'[{"ciders":[', b'"x",', b'"x"]}]'),
    (b'[{"ciders":[', b'"10.0.0.0/8",', b'"10.0.0.0/8"]}]'),
    (b'{"type":"directory","generation":1,"base":0,"page":0,"pages":1,"gone":[', b'"a",', b'"a"]}'),
    (b"a = 0x", b"f", b""),
    (b"a = ", b"9", b""),
    (b"a = '''", b"''\n", b"'''"),
    (b"[", b"a.", b"a]\nb=1"),
)


def inputs(decoder: Decoder) -> Iterator[tuple[str, bytes]]:
    """Yield names and inputs, none longer than the decoder looks at."""
    size = min(decoder.max_bytes, MAX_BYTES)
    for unit in REPEATED:
        yield f"{unit!r} repeated", unit * (size // len(unit))
    for before, unit, after in AROUND:
        count = max(0, size - len(before) - len(after)) // len(unit)
        yield f"{before!r}, {unit!r} repeated, {after!r}", before + unit * count + after
    yield "many keys", b"{" + b",".join(b'"k%d":1' % number for number in range(size // 11)) + b"}"
    yield "many tables", b"".join(b"[t%d]\n" % number for number in range(size // 9))
    for number, example in enumerate(decoder.examples):
        yield f"example {number} repeated", example * (size // max(len(example), 1))
        if decoder.is_text:
            yield from long_values(number, example, size)


def long_values(number: int, example: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield an example with one of its values, each in its turn, made very long."""
    tokens = TOKEN.findall(example)
    places = [place for place, token in enumerate(tokens) if token[:1].isalnum() or token[:1] == b'"']
    for place in places[:VALUES_PER_EXAMPLE]:
        for name, value in LONG_VALUES.items():
            data = b"".join([*tokens[:place], value, *tokens[place + 1 :]])
            yield f"example {number}, {name} instead of {tokens[place][:30]!r}", data[:size]


def used_bytes() -> int:
    """Return the size of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> None:
    """Read everything; killed by the kernel, or out of memory, where a decoder costs too much."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes() + MEMORY_BYTES, resource.RLIM_INFINITY))
    count = 0
    for decoder in VALID:
        if decoder.name.startswith("config.check_files"):
            continue  # reads with the others' readers, each of which is here itself
        for name, data in inputs(decoder):
            print(f"{decoder.name}: {name}, {len(data)} bytes", flush=True)
            used = resource.getrusage(resource.RUSAGE_SELF)
            end = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))
            decoder.takes(data)
            count += 1
    print(f"{count} inputs", file=sys.stderr)


if __name__ == "__main__":
    main()
