"""rustun: joins sites, servers and people of many tenants through a relay."""

__version__ = "0.1.0"
