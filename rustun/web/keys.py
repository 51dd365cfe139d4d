"""Where an application keeps what its handlers work with."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from rustun.config.web import WebConfig
from rustun.web.guard import Guard
from rustun.web.source import Source

CONFIG: Final = web.AppKey("CONFIG", WebConfig)
SOURCE: Final = web.AppKey("SOURCE", Source)
GUARD: Final = web.AppKey("GUARD", Guard)
