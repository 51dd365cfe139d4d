"""Text of strangers, shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rustun.printable import printable, quoted


def test_what_is_shown() -> None:
    """A stranger's identity clears the screen, forges a log line or hides behind bidirectional marks."""
    assert printable("bj-dev") == "bj-dev"
    assert printable("a\x1b[31m\nb\r\0") == r"a\x1b[31m\nb\r\x00"
    assert printable("a\u202eb\u200b\ud800\U0001f600") == r"a\u202eb\u200b\ud800" + "\U0001f600"
    assert printable("北京 é") == "北京 é"
    assert quoted("x" * 100, 10) == '"xxxxxxxxxx..."'


def test_a_key_in_a_wrong_place_is_not_quoted() -> None:
    """A key that was pasted where something else belongs goes into the log with the complaint about it."""
    key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
    for text in (key, key[:-1], f"a {key} b", f"{key}{key}"):
        assert quoted(text).count("(a key)") == text.count("yAnz5")
        assert "yAnz5" not in quoted(text)
    for other in ("bj-dev", "0" * 64, "a" * 42, "a" * 44, "https://example.com/a/path/of/many/words/and/more"):
        assert quoted(other) == f'"{other}"'


@given(st.text(st.characters(), max_size=200), st.integers(1, 100))
def test_any_text_becomes_one_short_line(text: str, limit: int) -> None:
    """Some character escapes the escape, or a long text floods the log."""
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= 10 * limit + 3
    shown.encode("utf-8")
