"""The web process: dashboard, API, metrics and the seed client's pages, beside the tunnel and never in its way.

Rules of this package
  1. A process of its own. What it knows it asks of the control socket (source.py); it holds no key, and may hang, die
     or be attacked without a packet noticing.
  2. Every request goes through one guard (guard.py), and every route stands in one table (app.py).
  3. It is the only part that runs on asyncio, and the only one that imports aiohttp (pyproject.toml's extra `web`).
"""
