"""The bench's order of measurements, and how a run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from netlab.bench import document, machine, run
from netlab.bench.document import Asked
from netlab.bench.rows.catalogue import QUICK, ROWS
from netlab.bench.rows.row import Row
from netlab.bench.sample import Sample, Values
from netlab.bench.variants import OPENVPN_UDP, PLAIN
from netlab.errors import BadInput, EnvironmentLacks, ExpectationFailed

ASKED = Asked(2, 1.0, 1)


class Station:
    """A place that is no laboratory: it says what was done with it."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self._seen = name, seen

    def start(self) -> None:
        """Come up, but for those that cannot."""
        if self.name in ("openvpn-tcp", "aes-shared"):
            raise ExpectationFailed("no tun")
        self._seen.append(f"{self.name} up")

    def close(self) -> None:
        """Go."""
        self._seen.append(f"{self.name} down")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let places be stations, and return what is done with them."""
    events: list[str] = []
    monkeypatch.setattr(run, "place", lambda variant, _build, _logs: Station(variant, events))
    return events


def counted(place: Station, seconds: float) -> Values:
    """Measure: the length that was asked for; OpenVPN over UDP is silent."""
    return {"Gbit/s": float("inf") if place.name == OPENVPN_UDP else seconds}


def order(*rows: Row, file: Path | None = None) -> run.Order:
    """Return an order for rows; with a file, one that goes on there."""
    return run.Order(rows, ASKED, json_file=file, resume=file is not None)


@pytest.mark.parametrize("row", [row for row in ROWS if PLAIN in row.variants], ids=lambda row: row.name)
def test_each_tunnel_is_measured_next_to_plain_routing(row: Row) -> None:
    """A tunnel would be compared with what plain routing did minutes ago."""
    shuffle = Random(1)
    for _ in range(20):
        groups = run.neighbourhoods(row.variants, PLAIN, shuffle)
        for group in groups:
            assert group.count(PLAIN) == 1
            assert all(abs(group.index(PLAIN) - place) <= 1 for place in range(len(group)))
        assert sorted(name for group in groups for name in group if name != PLAIN) == sorted(
            set(row.variants) - {PLAIN}
        )


def test_a_reference_alone_is_measured_alone() -> None:
    """Where all others are skipped, nothing at all would be measured."""
    assert run.neighbourhoods((PLAIN,), PLAIN, Random(1)) == [(PLAIN,)]
    assert run.neighbourhoods(("aes",), PLAIN, Random(1)) == [("aes",)]


def test_the_order_is_shuffled_and_always_the_same() -> None:
    """A tunnel that always comes last would bear what the machine does then; two runs could not be compared."""
    variants = tuple("abcdefgh")
    orders = [
        [run.neighbourhoods(variants, PLAIN, shuffle) for _ in range(5)] for shuffle in (Random("x"), Random("x"))
    ]
    assert orders[0] == orders[1]
    assert len({tuple(one) for one in orders[0]}) > 1


def test_places_stand_from_the_first_row_that_needs_them_to_the_last(seen: list[str], tmp_path: Path) -> None:
    """Idle laboratories of all rows would take their share of two cores, or one be gone when it is needed again."""
    rows = (Row("one", "", (PLAIN, "aes"), counted), Row("two", "", ("aes", "crowd"), counted))
    wanted = order(*rows)
    begun = run.begin(wanted, {})
    assert run.run(wanted, begun, tmp_path, tmp_path) == 0
    assert seen == ["plain up", "aes up", "plain down", "crowd up", "aes down", "crowd down"]
    assert begun.rows == ["one", "two"]
    assert len(begun.samples) == 8
    assert {sample.values["Gbit/s"] for sample in begun.samples} == {1.0}


def test_a_peer_that_fails_is_skipped_by_name_and_everybody_else_measured(seen: list[str], tmp_path: Path) -> None:
    """Half an hour of measuring would be lost because of somebody else's program; or the gap be silent."""
    wanted = order(Row("one", "", (PLAIN, "openvpn-tcp", OPENVPN_UDP, "ssh-tun"), counted))
    begun = run.begin(wanted, {"ssh-tun": "not installed; apt-get install openssh-server"})
    assert run.run(wanted, begun, tmp_path, tmp_path) == 0
    assert begun.skipped == {
        "ssh-tun": "not installed; apt-get install openssh-server",
        "openvpn-tcp": "does not come up here: no tun",
        "one 1 openvpn-udp": "no answer came: Gbit/s",
        "one 2 openvpn-udp": "no answer came: Gbit/s",
    }
    assert {sample.variant for sample in begun.samples} == {PLAIN}
    assert seen[-2:] == ["plain down", "openvpn-udp down"]


def test_a_variant_of_our_own_that_does_not_come_up_ends_the_run(seen: list[str], tmp_path: Path) -> None:
    """A tunnel that cannot be set up any more would be a line at the end of a report."""
    wanted = order(Row("one", "", (PLAIN, "aes-shared"), counted))
    with pytest.raises(ExpectationFailed, match="no tun"):
        run.run(wanted, run.begin(wanted, {}), tmp_path, tmp_path)
    assert seen == ["plain up", "plain down", "aes-shared down"]


def test_nothing_measured_is_no_success(seen: list[str], tmp_path: Path) -> None:
    """CI would be green where every peer and every row was skipped."""
    wanted = order(Row("one", "", ("aes",), counted))
    with pytest.raises(BadInput, match="nothing was measured") as caught:
        run.run(wanted, run.begin(wanted, {"one": "no iperf3"}), tmp_path, tmp_path)
    assert caught.value.remedy == "one: no iperf3"
    assert seen == []


def test_a_busy_machine_costs_a_sample_and_says_so(seen: list[str], tmp_path: Path) -> None:
    """An hour of measuring would end because a cable was late once."""

    def busy(_place: Station, _seconds: float) -> Values:
        raise EnvironmentLacks("the cable does not do what it has to")

    wanted = order(Row("one", "", ("aes",), counted), Row("two", "", ("aes",), busy))
    begun = run.begin(wanted, {})
    assert run.run(wanted, begun, tmp_path, tmp_path) == 0
    assert begun.skipped == {f"two {number} aes": "the cable does not do what it has to" for number in (1, 2)}
    assert seen == ["aes up", "aes down"]


def test_a_variant_of_our_own_is_never_skipped(seen: list[str], tmp_path: Path) -> None:
    """A tunnel that does not work any more would look like one that nobody asked for."""

    def silent(_place: Station, _seconds: float) -> Values:
        return {"median ms": float("inf")}

    wanted = order(Row("one", "", ("aes",), silent))
    with pytest.raises(ExpectationFailed, match="no answer came: median ms"):
        run.run(wanted, run.begin(wanted, {}), tmp_path, tmp_path)
    assert seen == ["aes up", "aes down"]


def test_an_interrupted_run_goes_on_where_it_ended(seen: list[str], tmp_path: Path) -> None:
    """An hour of measuring would be lost by one ctrl-C; or the half of a row count as the whole."""
    file = tmp_path / "bench.json"
    rows = (Row("one", "", ("aes",), counted), Row("two", "", ("chacha",), counted))
    wanted = order(*rows, file=file)
    half = run.begin(wanted, {})
    half.rows = ["one"]
    half.samples = [Sample("one", "aes", 0, 7, {"Gbit/s": 5.0}), Sample("two", "chacha", 0, 8, {"Gbit/s": 9.0})]
    document.write(half, file)
    begun = run.begin(wanted, {})
    assert run.run(wanted, begun, tmp_path, tmp_path) == 0
    assert seen == ["chacha up", "chacha down"]
    found = document.read(file)
    assert found.rows == ["one", "two"]
    assert [(one.row, one.group, one.values["Gbit/s"]) for one in found.samples] == [
        ("one", 7, 5.0),
        ("two", 8, 1.0),
        ("two", 9, 1.0),
    ]


def test_a_peer_that_has_been_installed_meanwhile_takes_part_in_what_is_left(tmp_path: Path) -> None:
    """Who installs what the report asks for would be told again that it is missing."""
    wanted = order(file=tmp_path / "bench.json")
    half = run.begin(wanted, {"ssh-tun": "not installed", "agreement": "not installed", "tcp-1 2 openvpn-udp": "late"})
    document.write(half, tmp_path / "bench.json")
    assert run.begin(wanted, {"ssh-tun": "still not"}).skipped == {
        "ssh-tun": "still not",
        "tcp-1 2 openvpn-udp": "late",
    }


def test_a_run_is_not_gone_on_with_on_another_machine_or_by_another_measure(tmp_path: Path) -> None:
    """Samples of two kinds would stand in one table."""
    file = tmp_path / "bench.json"
    wanted = order(file=file)
    begun = run.begin(wanted, {})
    document.write(begun, file)
    with pytest.raises(BadInput, match="cannot be gone on with"):
        run.begin(replace(wanted, asked=Asked(3, 1.0, 1)), {})
    begun.machine["cpu"] = "1 x other"
    document.write(begun, file)
    with pytest.raises(BadInput, match="1 x other"):
        run.begin(wanted, {})


def test_options_that_need_another_one_say_so() -> None:
    """An hour of profiling would be thrown away, or a run begin anew that was to go on."""
    with pytest.raises(BadInput, match="--resume"):
        run.begin(replace(order(), resume=True), {})
    with pytest.raises(BadInput, match="--profile"):
        run.begin(replace(order(), profile=True), {})


def test_rows_are_asked_for_by_name() -> None:
    """A row that is mistyped would silently not be measured."""
    assert [row.name for row in run.rows_named("ping, tcp-1")] == ["tcp-1", "ping"]
    assert run.rows_named("") == ROWS
    assert [row.name for row in run.rows_named("", quick=True)] == list(QUICK)
    assert [row.name for row in run.rows_named("lan", quick=True)] == ["lan"]
    with pytest.raises(BadInput, match="no row pong") as caught:
        run.rows_named("ping,pong")
    assert "udp-1300" in caught.value.remedy


def test_the_machine_is_described_for_whoever_compares() -> None:
    """Two runs of different machines would be compared by their speeds."""
    told = machine.describe()
    assert set(machine.SAME_MACHINE) <= set(told)
    assert machine.differences(told, told) == []
    assert machine.differences(told, {**told, "kernel": "1.0", "load average": "99"}) == [
        f"kernel: {told['kernel']} and 1.0"
    ]
