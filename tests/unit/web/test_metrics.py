"""/metrics, as Prometheus reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rustun.backends.base import NOT_AN_EXIT
from rustun.web.metrics import METRICS, Metric, exposition, reference
from tests.asked_of_prometheus import of_alerts, of_panels, targets
from tests.unit.web.talking import CONFIG, READ, bearer, client_document, dashboard, run, server_document, session

ROOT = Path(__file__).resolve().parents[3]
UNITS = ("_seconds", "_bytes", "_info", "_total")
SCRAPED = {"instance", "job"}  # labels that Prometheus adds
REASON = re.compile(r"^\| `([a-z-]+)` \|", re.MULTILINE)
WORDS = {  # that a label may have
    "state": ("online", "offline", "disabled", "expired", "unknown"),
    "reason": tuple(REASON.findall((ROOT / "docs" / "status.md").read_text().split("\n## Reasons\n")[1])),
}
COUNTS = {  # of things
    "rustun_members", "rustun_pending_connections", "rustun_alarms", "rustun_routes_problems",
    "rustun_routes_not_in_force", "rustun_cluster_members", "rustun_member_online", "rustun_server_online",
    "rustun_peers", "rustun_routes", "rustun_refused_routes", "rustun_warnings",
}  # fmt: skip


def parsed(text: bytes) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return what Prometheus' own reader makes of it: name -> labels -> value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def full_server() -> dict[str, object]:
    """Return a document with all that a server may tell."""
    return {
        **server_document(2),
        "build": {"python": "3.11.2", "kernel": "6.1"},
        "process": {"cpu_s": 3.5, "resident_bytes": 4096},
        "loop": {"longest_step_ms": 1.5},
        "handshakes": {"key": {"confirmed": 5, "refused": 1}},
        "received_bytes": 1,
        "received_packets": 2,
        "sent_bytes": 3,
        "sent_packets": 4,
    }


@pytest.mark.parametrize("role", ["server", "client"])
def test_every_metric_of_a_role_has_a_line(role: str) -> None:
    """A metric stands in the docs, and no document has what it is read from."""
    common = {key: full_server()[key] for key in ("build", "process", "loop", "handshakes")}
    document = full_server() if role == "server" else client_document(**common)
    assert parsed(exposition(document, member_labels=True)).keys() == {
        metric.name for metric in METRICS if role in metric.roles
    }


def test_values_are_in_base_units() -> None:
    """A graph shows milliseconds where its axis says seconds."""
    found = parsed(exposition(full_server(), member_labels=True))
    member = (("cluster", "beijing"), ("identity", "m2"))
    assert found["rustun_member_rtt_seconds"][member] == pytest.approx(0.0008)
    assert found["rustun_member_received_bytes_total"][member] == 2000
    assert found["rustun_loop_longest_step_seconds"] == {(): pytest.approx(0.0015)}
    assert found["rustun_routes_loaded_timestamp_seconds"] == {(): 1780272000}
    assert found["rustun_members"][(("state", "online"),)] == 2
    assert found["rustun_members"][(("state", "disabled"),)] == 0
    assert found["rustun_member_online"][(("cluster", "beijing"), ("identity", "gone"))] == 0
    assert found["rustun_handshakes_total"][(("outcome", "confirmed"), ("tier", "key"))] == 5


def test_an_exit_that_was_not_chosen_is_not_counted() -> None:
    """An alert on refused routes fires at every client of a cluster with an exit node."""
    refused = {"0.0.0.0/0": NOT_AN_EXIT, "192.168.1.0/24": "is directly connected at eth0"}
    found = parsed(exposition(client_document(refused_routes=refused), member_labels=True))
    assert found["rustun_refused_routes"] == {(): 1}


def test_what_is_not_known_has_no_line() -> None:
    """A round trip that nobody has measured is shown as 0, or ends the scrape."""
    document = {**server_document(), "sessions": [session(rtt_ms=None)]}
    found = parsed(exposition(document, member_labels=True))
    assert "rustun_member_rtt_seconds" not in found
    assert "rustun_handshakes_total" not in found


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    """Prometheus' own linter, or a reader's habit, stumbles over a name."""
    name, kind = metric.name, metric.kind
    assert re.fullmatch(r"rustun_[a-z_]+", name)
    assert name.endswith("_total") == (kind == "counter")
    assert name.endswith(UNITS) or name in COUNTS
    assert metric.help.endswith(".")
    assert not {"le", "quantile", "instance", "job"} & set(metric.labels)
    assert metric.per_member == bool({"cluster", "identity"} & set(metric.labels))


def test_a_large_fleet_can_leave_its_members_out() -> None:
    """5,000 members make 45,000 series that nobody asked for."""
    small, large = (exposition(server_document(count), member_labels=False) for count in (1, 500))
    assert len(large.splitlines()) == len(small.splitlines())
    assert b"beijing" not in large


@pytest.mark.parametrize("name", ['"', "\\", "a\nb", "a[/b]", "<script>", "北京", "\ud800", "\x00", "é" * 300])
def test_names_are_text(name: str) -> None:
    """A member's name ends its line, adds a metric, or breaks the scrape of all others."""
    document = {**server_document(), "sessions": [session(identity=name)]}
    found = parsed(exposition(document, member_labels=True))
    labels = [dict(labels) for labels in found["rustun_member_online"]]
    shown = name.encode("utf-8", "backslashreplace").decode()
    assert {one["identity"] for one in labels} == {shown, "gone"}


def test_the_docs_list_what_there_is() -> None:
    """A metric is missing in docs/metrics.md, or stands there with another meaning.

    After a change: python -c 'from rustun.web.metrics import reference; print(*reference(), sep="\\n")'
    """
    lines = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    table = [line for line in lines if line.startswith(("| `rustun_", "| metric", "|---|---|---|---|---|"))]
    assert table == reference()


def test_what_dashboards_and_alerts_ask_for_is_there() -> None:
    """A panel of the Grafana dashboard is empty for ever, or an alert never fires."""
    known = {metric.name for metric in METRICS}
    for file in ("grafana/rustun.json", "alerts.yml"):
        asked = set(re.findall(r"rustun_[a-z_]+", (ROOT / "docs" / file).read_text()))
        asked -= {"rustun_server", "rustun_client"}  # names of jobs
        assert asked, file
        assert asked <= known, file


@pytest.mark.parametrize("expression", [*of_alerts(), *of_panels()])
def test_what_is_asked_for_has_such_labels(expression: str) -> None:
    """A panel is empty, or an alert never fires, for a label or a word that no figure has."""
    labels = set(SCRAPED)
    for name, selected in re.findall(r"(rustun_[a-z_]+)(?:\{([^}]*)\})?", expression):
        found = next((metric.labels for metric in METRICS if metric.name == name), None)
        if found is None:
            assert re.fullmatch(r"rustun_(server|client|\.\*)?", name), "it is a job's"
            continue
        labels |= set(found)
        for label, word in re.findall(r'([a-z]+)=~?"([^"]*)"', selected):
            assert label in {*found, *SCRAPED}, f"{name} has no {label}"
            assert word in WORDS.get(label, (word,)), f"{label} is never {word}"
    for listed in re.findall(r"\b(?:by|without|ignoring|on) \(([^)]*)\)", expression):
        assert {label.strip() for label in listed.split(",")} <= labels


def test_what_a_panel_calls_its_lines_by_is_there() -> None:
    """All lines of a panel have one name, which says nothing."""
    for target in targets():
        labels = set(SCRAPED)
        for metric in METRICS:
            labels |= set(metric.labels) if metric.name in target["expr"] else set()
        assert set(re.findall(r"{{ *(\w+) *}}", target.get("legendFormat", ""))) <= labels


def test_a_scrape(tmp_path: Path) -> None:
    """Prometheus does not take the answer for one of its formats."""

    async def scenario() -> None:
        async with dashboard(tmp_path) as client:
            answer = await client.get("/metrics", headers=bearer(READ))
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "rustun_members" in parsed(await answer.read())
        async with dashboard(tmp_path, replace(CONFIG, member_labels=False)) as client:
            assert b"identity=" not in await (await client.get("/metrics", headers=bearer(READ))).read()

    run(scenario())
