"""All rows, in the order in which they are measured: those that leave traces come after those that would see them."""

from __future__ import annotations

from typing import Final

from netlab.bench.rows.datagrams import DATAGRAMS
from netlab.bench.rows.distance import DISTANCE
from netlab.bench.rows.laboratory import LABORATORIES
from netlab.bench.rows.latency import LATENCY
from netlab.bench.rows.row import Row
from netlab.bench.rows.scale import SCALE
from netlab.bench.rows.server import SERVERS
from netlab.bench.rows.toolkit import TOOLKIT
from netlab.bench.rows.transport import TRANSPORT

ROWS: Final[tuple[Row, ...]] = (*TRANSPORT, *LATENCY, *DATAGRAMS, *DISTANCE, *SERVERS, *SCALE, *LABORATORIES, *TOOLKIT)
QUICK: Final = ("tcp-1", "tcp-4", "ping", "http", "udp-small", "udp-large", "memory")  # some minutes, not an hour
