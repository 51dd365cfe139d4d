"""The pages as files: what they load, the words they use, and what keeps a name from being markup."""

from __future__ import annotations

import json
import re

import pytest

from rustun.admin.explain import HINTS
from rustun.web.dashboard import FOLDER, PAGES, Page, pages_below

SCRIPTS = {path.name: path.read_text() for path in sorted((FOLDER / "scripts").glob("*.js"))}
WORDS = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "words").glob("*.json"))}
MADE = {  # keys that are put together, by their beginning: the values that can stand behind it
    "state": {"online", "offline", "disabled", "expired"},
    "link": {"connecting", "live", "lost"},
    "right": {"none", "read", "manage"},
    "theme": {"system", "light", "dark"},
    "page": {"topology", "members", "reach", "events", "expiring"},
    "verdict": {"pass", "drop", "not-connected"},
    "change": {"added", "changed", "removed"},
    "step": {"sender", "source", "destination", "mapping", "packet", "receiver", "queue"},
    "column": {
        *("cluster", "identity", "address", "state", "proved", "rtt_ms", "tier"),
        *("in_rate", "out_rate", "in_bytes", "out_bytes", "drops"),
    },
    "events": {"time", "level", "event", "details", "all", "audit"},
    "field": {"cluster", "identity", "private_ip", "name", "ciders", "public_key", "tier", "expires_at", "enabled"},
    "why": set(HINTS),
    "hint": {"cluster", "identity", "private_ip", "name", "ciders", "public_key", "tier", "expires_at", "enabled"},
}


def used_words() -> set[str]:
    """Return the keys of all words that the scripts say."""
    text = "\n".join(SCRIPTS.values())
    beginnings = set(re.findall(r"`([a-z_]+)\.\$\{", text)) | set(re.findall(r'sayOf\("([a-z_]+)"', text))
    assert beginnings == MADE.keys()
    whole = {key for key in re.findall(r'"([a-z_]+(?:\.[a-z_-]+)?)"', text) if key in WORDS["en"]}
    whole |= set(re.findall(r'\bsay\("([^"]+)"', text))
    return whole | {f"{kind}.{value}" for kind, values in MADE.items() for value in values}


@pytest.mark.parametrize("language", sorted(WORDS))
def test_every_word_is_there_and_used(language: str) -> None:
    """A reader would see a key instead of words, or a translator work on what nobody sees."""
    assert WORDS[language].keys() == used_words()


def test_languages_fill_in_the_same_values() -> None:
    """A sentence would lose its number or its name in one language."""
    for key, words in WORDS["en"].items():
        values = sorted(re.findall(r"\{\w+\}", words))
        assert sorted(re.findall(r"\{\w+\}", WORDS["zh"][key])) == values, key


def test_a_page_says_why_in_the_words_of_a_terminal() -> None:
    """Dashboard and `rustun status` would give different reasons for the same member."""
    assert {key: words for key, words in WORDS["en"].items() if key.startswith("why.")} == {
        f"why.{beginning}": hint for beginning, hint in HINTS.items()
    }
    assert all(WORDS["zh"][f"why.{beginning}"].count("`") == hint.count("`") for beginning, hint in HINTS.items())


def test_who_logs_in_logs_out() -> None:
    """A page would name one thing in two ways: "Log in" before, "Sign out" after."""
    assert (WORDS["en"]["login.in"], WORDS["en"]["login.out"]) == ("Log in", "Log out")
    assert (WORDS["zh"]["login.in"], WORDS["zh"]["login.out"]) == ("登录", "退出登录")
    assert not [key for words in WORDS.values() for key, text in words.items() if re.search(r"(?i)\bsign(ed)? ", text)]


def test_every_language_can_be_chosen() -> None:
    """A table of words would be there that nobody can choose."""
    found = re.search(r"const LANGUAGES = \{([^}]*)\}", SCRIPTS["words.js"])
    assert found and sorted(re.findall(r"(\w+):", found[1])) == sorted(WORDS)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_nothing_reads_markup(name: str) -> None:
    """A member called <img onerror=...> would run a script in an operator's browser."""
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function|srcdoc|setHTML"
    assert not re.search(ways, SCRIPTS[name])


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_scripts_stay_short(name: str) -> None:
    """A file that grows without a bound is where the next bug hides."""
    lines = SCRIPTS[name].split("\n")
    assert len(lines) <= 400


def test_the_page_loads_only_its_own_files_and_all_of_them() -> None:
    """A page would need the network of somebody else, or a script would be waited for one by one."""
    page = PAGES["index.html"].body.decode()
    loaded = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert all(place.removeprefix("/pages/") in PAGES for place in loaded)
    assert {place.rpartition("/")[2] for place in loaded if place.endswith(".js")} == SCRIPTS.keys()
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", page), "the policy refuses inline code"


def test_styles_load_nothing() -> None:
    """A style sheet would fetch from elsewhere, and the policy refuse it."""
    for name, page in PAGES.items():
        if name.endswith(".css"):
            assert b"url(" not in page.body and b"@import" not in page.body


def test_a_changed_page_has_another_tag() -> None:
    """After an update a browser would go on with the old scripts."""
    assert pages_below() == PAGES
    one, other = PAGES["scripts/main.js"], PAGES["scripts/store.js"]
    assert isinstance(one, Page) and one.etag != other.etag
