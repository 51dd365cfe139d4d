"""/metrics: a status document as Prometheus reads it.

Rules of this module
  1. Names follow Prometheus' conventions: base units (seconds, bytes), `_total` for what only grows, `rustun_` first.
  2. Each metric is one line of METRICS, and docs/metrics.md is made from them.
  3. Labels are bounded: by words of ours, by the servers of a client. What grows with the fleet (clusters, members) can
     be left out (`[dashboard_config] member_labels = false`).
  4. What the document does not tell has no line; nothing is made up. Who does not answer has no figures at all: the
     scrape fails, and Prometheus' own `up` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from rustun.backends.base import NOT_AN_EXIT
from rustun.web.guard import Route
from rustun.web.keys import CONFIG, SOURCE
from rustun.web.source import Document, Snapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format
COMPRESSED_ASIDE_BYTES: Final = 64 << 10  # by a thread: more of it would hold everybody up
Line = tuple[tuple[str, ...], float]  # values of the labels, value
BOTH: Final = ("server", "client")
SERVER: Final = ("server",)
CLIENT: Final = ("client",)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        kind: a counter's name ends in `_total`.
        help: one sentence, for Prometheus and for the docs.
        read: returns its lines of a document.
        labels: their names, in the order of the values that `read` gives.
        roles: whose document has it.
        per_member: whether it has lines by cluster or member.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    read: Callable[[Document], Iterable[Line]]
    labels: tuple[str, ...] = ()
    roles: tuple[str, ...] = BOTH
    per_member: bool = False


# --- where in a document a value stands ------------------------------------------------------------------------------


def _value(*path: str, scale: float = 1.0) -> Callable[[Document], Iterator[Line]]:
    """Read the number at a path of keys, if there is one."""

    def read(document: Document) -> Iterator[Line]:
        found: Any = document
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, int | float):
            yield (), found * scale

    return read


def _by_reason(key: str) -> Callable[[Document], Iterator[Line]]:
    def read(document: Document) -> Iterator[Line]:
        for reason, count in document.get(key, {}).items():
            yield (reason,), count

    return read


def _length(*path: str) -> Callable[[Document], Iterator[Line]]:
    """Count what stands in the list or table at a path."""

    def read(document: Document) -> Iterator[Line]:
        found: Any = document
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, list | Mapping):
            yield (), len(found)

    return read


def _refused_routes(document: Document) -> Iterator[Line]:
    refused = document.get("refused_routes")
    if isinstance(refused, Mapping):
        yield (), sum(reason != NOT_AN_EXIT for reason in refused.values())


def _each(
    list_key: str, value_key: str, labels: tuple[str, ...], scale: float = 1.0
) -> Callable[[Document], Iterator[Line]]:
    """Read one number of each object of a list, where it has one."""

    def read(document: Document) -> Iterator[Line]:
        for one in document.get(list_key, ()):
            value = one.get(value_key)
            if value is not None:
                yield tuple([one[label] for label in labels]), value * scale

    return read


def _handshakes(document: Document) -> Iterator[Line]:
    for tier, outcomes in document.get("handshakes", {}).items():
        for outcome, count in outcomes.items():
            yield (tier, outcome), count


def _build(document: Document) -> Iterator[Line]:
    build = document.get("build", {})
    yield (document["version"], document["role"], build.get("python", ""), build.get("kernel", "")), 1


def _states(document: Document) -> Counter[tuple[str, str]]:
    """Count members by cluster and state."""
    found = Counter((one["cluster"], one["state"]) for one in document.get("offline", ()))
    found.update((one["cluster"], "online") for one in document.get("sessions", ()))
    return found


def _members(document: Document) -> Iterator[Line]:
    found: Counter[str] = Counter()
    for (_, state), count in _states(document).items():
        found[state] += count
    for state in ("online", "offline", "disabled", "expired"):
        yield (state,), found.pop(state, 0)
    yield from (((state,), count) for state, count in found.items())


def _cluster_members(document: Document) -> Iterator[Line]:
    yield from _states(document).items()


def _member_online(document: Document) -> Iterator[Line]:
    for one in document.get("sessions", ()):
        yield (one["cluster"], one["identity"]), 1
    for one in document.get("offline", ()):
        yield (one["cluster"], one["identity"]), 0


def _member_drops(document: Document) -> Iterator[Line]:
    for one in document.get("sessions", ()):
        for reason, count in one["drops"].items():
            yield (one["cluster"], one["identity"], reason), count


def _loaded_at(document: Document) -> Iterator[Line]:
    text = document.get("routes", {}).get("loaded_at", "")
    if text:
        yield (), datetime.fromisoformat(text).timestamp()


def _server_online(document: Document) -> Iterator[Line]:
    for one in document.get("servers", ()):
        yield (one["server"],), one["state"] == "online"


def _peers(document: Document) -> Iterator[Line]:
    words = {True: "online", False: "offline", None: "unknown"}
    found = Counter(words[one["online"]] for one in document.get("peers", ()))
    for state in words.values():
        yield (state,), found[state]


MEMBER: Final = ("cluster", "identity")
METRICS: Final[tuple[Metric, ...]] = (
    Metric("rustun_build_info", "gauge", "Always 1; what runs, in its labels.", _build,
           ("version", "role", "python", "kernel")),
    Metric("rustun_uptime_seconds", "gauge", "Since the process began its work.", _value("uptime_s")),
    Metric("rustun_process_cpu_seconds_total", "counter", "CPU time that the tunnel's process has used.",
           _value("process", "cpu_s")),
    Metric("rustun_process_resident_bytes", "gauge", "Memory of the tunnel's process.",
           _value("process", "resident_bytes")),
    Metric("rustun_loop_longest_step_seconds", "gauge",
           "Longest step of the event loop in the last minute: how long a packet may have waited for it.",
           _value("loop", "longest_step_ms", scale=1e-3)),
    Metric("rustun_received_bytes_total", "counter", "Bytes of inner packets received from peers.",
           _value("received_bytes")),
    Metric("rustun_received_packets_total", "counter", "Inner packets received from peers.",
           _value("received_packets")),
    Metric("rustun_sent_bytes_total", "counter", "Bytes of inner packets sent to peers.", _value("sent_bytes")),
    Metric("rustun_sent_packets_total", "counter", "Inner packets sent to peers.", _value("sent_packets")),
    Metric("rustun_drops_total", "counter", "Packets dropped, by reason (docs/status.md).", _by_reason("drops"),
           ("reason",)),
    Metric("rustun_handshakes_total", "counter", "Handshakes, by tier and by what became of them.", _handshakes,
           ("tier", "outcome")),
    Metric("rustun_members", "gauge", "Members, by state.", _members, ("state",), SERVER),
    Metric("rustun_pending_connections", "gauge", "Connections that have not proved themselves yet.",
           _value("pending"), roles=SERVER),
    Metric("rustun_closes_total", "counter", "Connections closed, by reason (docs/status.md).", _by_reason("closes"),
           ("reason",), SERVER),
    Metric("rustun_queued_bytes", "gauge", "Bytes that wait for all receivers together.", _value("queued_bytes"),
           roles=SERVER),
    Metric("rustun_alarms", "gauge", "Alarms that an operator should look at (`rustun status`).", _length("alarms"),
           roles=SERVER),
    Metric("rustun_routes_problems", "gauge", "Problems for which the present members' file was refused.",
           _length("routes", "problems"), roles=SERVER),
    Metric("rustun_routes_not_in_force", "gauge", "Members that the file does not name any more, and that still are.",
           _length("routes", "not_in_force"), roles=SERVER),
    Metric("rustun_routes_loaded_timestamp_seconds", "gauge", "When the members in force were loaded.", _loaded_at,
           roles=SERVER),
    Metric("rustun_cluster_members", "gauge", "Members, by cluster and state.", _cluster_members,
           ("cluster", "state"), SERVER, per_member=True),
    Metric("rustun_member_online", "gauge", "1 with a confirmed session, else 0.", _member_online, MEMBER, SERVER,
           per_member=True),
    Metric("rustun_member_received_bytes_total", "counter", "Bytes received from the member in its present session.",
           _each("sessions", "received_bytes", MEMBER), MEMBER, SERVER, per_member=True),
    Metric("rustun_member_sent_bytes_total", "counter", "Bytes sent to the member in its present session.",
           _each("sessions", "sent_bytes", MEMBER), MEMBER, SERVER, per_member=True),
    Metric("rustun_member_drops_total", "counter", "Packets of the member's present session dropped, by reason.",
           _member_drops, (*MEMBER, "reason"), SERVER, per_member=True),
    Metric("rustun_member_queued_bytes", "gauge", "Bytes that wait for the member.",
           _each("sessions", "queued_bytes", MEMBER), MEMBER, SERVER, per_member=True),
    Metric("rustun_member_rtt_seconds", "gauge", "Latest round trip of the session's own ping.",
           _each("sessions", "rtt_ms", MEMBER, 1e-3), MEMBER, SERVER, per_member=True),
    Metric("rustun_member_proof_age_seconds", "gauge", "Since the member's last authentic sign of life.",
           _each("sessions", "proof_age_s", MEMBER), MEMBER, SERVER, per_member=True),
    Metric("rustun_server_online", "gauge", "1 where there is a session and both directions are proven, else 0.",
           _server_online, ("server",), CLIENT),
    Metric("rustun_server_rtt_seconds", "gauge", "Latest round trip of the session's own ping.",
           _each("servers", "rtt_ms", ("server",), 1e-3), ("server",), CLIENT),
    Metric("rustun_server_proof_age_seconds", "gauge", "Since the server last answered a proof of life.",
           _each("servers", "proof_age_s", ("server",)), ("server",), CLIENT),
    Metric("rustun_reconnects_total", "counter", "Sessions that ended.", _value("reconnects"), roles=CLIENT),
    Metric("rustun_peers", "gauge", "Other members of the cluster, by state.", _peers, ("state",), CLIENT),
    Metric("rustun_routes", "gauge", "Prefixes that this host routes into the tunnel.", _length("routes"),
           roles=CLIENT),
    Metric("rustun_refused_routes", "gauge", "Prefixes and addresses that this host refused (`rustun status`), without"
           " default routes of members that are not its exit node.", _refused_routes, roles=CLIENT),
    Metric("rustun_warnings", "gauge", "Warnings about this host (`rustun status`).", _length("warnings"),
           roles=CLIENT),
)  # fmt: skip


class _Figures:
    """What prometheus_client collects: one document's metrics."""

    def __init__(self, document: Document, *, member_labels: bool) -> None:
        self._document = document
        self._member_labels = member_labels

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield each metric that the document has something for."""
        for metric in METRICS:
            if self._document["role"] not in metric.roles or (metric.per_member and not self._member_labels):
                continue
            family = _family(metric)
            for values, value in metric.read(self._document):
                family.add_metric([_writable(text) for text in values], value)
            if family.samples:
                yield family


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def exposition(document: Document, *, member_labels: bool) -> bytes:
    """Return what Prometheus scrapes.

    Args:
        document: a status document.
        member_labels: whether there are lines by cluster and member.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(document, member_labels=member_labels))
    return generate_latest(registry)


def _writable(text: str) -> str:
    """Return a label's value that UTF-8 can hold; a lone surrogate, which a hostile peer may send, is escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def reference() -> list[str]:
    """Return the table of docs/metrics.md, line by line."""
    lines = ["| metric | type | labels | of | meaning |", "|---|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels) + (" *" if metric.per_member else "")
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {', '.join(metric.roles)} | {metric.help} |")
    return lines


class Latest:
    """The text of the latest snapshot: several scrapers in one second cost one."""

    def __init__(self) -> None:
        self._number = 0
        self._text = b""

    def text(self, snapshot: Snapshot, *, member_labels: bool) -> bytes:
        if snapshot.number != self._number:
            self._number, self._text = snapshot.number, exposition(snapshot.document, member_labels=member_labels)
        return self._text


LATEST: Final = web.AppKey("LATEST", Latest)


async def show_metrics(request: web.Request) -> web.StreamResponse:
    """Give the latest snapshot's figures."""
    snapshot = await request.app[SOURCE].snapshot()
    text = request.app[LATEST].text(snapshot, member_labels=request.app[CONFIG].member_labels)
    answer = web.Response(body=text, headers={"Content-Type": CONTENT_TYPE}, zlib_executor_size=COMPRESSED_ASIDE_BYTES)
    answer.enable_compression()
    return answer


ROUTES: Final = (Route("GET", "/metrics", show_metrics),)
