"""Everything that reads foreign bytes: it takes them, or refuses them in words, for a bounded number of calls."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.decoders import Decoder, counted_calls
from tests.fuzz.file_decoders import FILES, KEY_FILES, WORDS, WRONG_FILES
from tests.fuzz.handshake_decoders import HANDSHAKES
from tests.fuzz.mutation import damaged
from tests.fuzz.toolkit_decoders import TOOLKIT
from tests.fuzz.web_decoders import WEB
from tests.fuzz.wire_decoders import MESSAGES, WIRE

VALID: Final = (*WIRE, *HANDSHAKES, *MESSAGES, *FILES, *KEY_FILES, *WORDS, *TOOLKIT, *WEB)
ALL: Final = (*VALID, *WRONG_FILES)


@pytest.mark.parametrize("decoder", ALL, ids=repr)
@given(draws=st.data())
def test_damaged_input_is_taken_or_refused(decoder: Decoder, draws: st.DataObject) -> None:
    """Somebody's bytes end the process with a traceback, or keep it busy."""
    data = draws.draw(damaged(decoder.examples, is_text=decoder.is_text, max_bytes=decoder.max_bytes))
    calls = counted_calls(lambda: decoder.takes(data))
    assert calls <= decoder.allowed_calls(data), f"{calls} calls for {len(data)} bytes"


@pytest.mark.parametrize("decoder", VALID, ids=repr)
def test_the_examples_are_valid(decoder: Decoder) -> None:
    """The test above damages what was refused anyway, and never gets behind the first check."""
    assert decoder.examples
    assert all(decoder.takes(example) for example in decoder.examples)
