"""Configuration as it may be shown: only keys that are known to hold no secret, and what the others hold, to hide it.

Rules of this module
  1. A key is shown because it stands in a list here. Of every other key the value is left out, known or not; of a key
     that nobody knows not even the name is shown, for it may be a secret in the wrong place.
  2. What is left out is handed back beside the rest: whoever writes a report looks for it everywhere else.
  3. Paths of key files are shown; what stands in them is handed back, never shown.
  4. A file that cannot be read is an answer: which file, and what kind of fault.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from rustun.config.files import MAX_ROUTES_BYTES, MAX_TOML_BYTES, read_bytes
from rustun.config.limits import LimitConfig, QueueConfig
from rustun.errors import ConfigError

LEFT_OUT: Final = "(left out)"
MAX_KEY_FILE_BYTES: Final = 1 << 16
MAX_DEPTH: Final = 8
LONG_NAME: Final = 20  # an unknown key with a longer one may be a secret in the wrong place

TABLES: Final = frozenset(
    ("server_config", "crypto_config", "route_config", "security_config", "limit_config", "queue_config")
    + ("admin_config", "dashboard_config", "conf_agent", "tunnel_config", "host_config", "servers")
)
SHOWN: Final = frozenset(
    (
        *(field.name for kind in (LimitConfig, QueueConfig) for field in fields(kind)),
        *("listen_addr", "user", "routes_file"),
        *("private_key_file", "psk_file", "minimum_tier", "cipher", "known_keys_file"),
        *("chacha20poly1305_file", "aes256_file", "xor_file"),
        *("socket", "group", "audit_file", "audit_bytes", "audit_files", "metrics_listen", "http_port"),
        *("listen", "hosts", "member_labels", "api_token_file", "allow_empty"),
        *("token_file", "management_token_file", "control_plane_url", "poll_interval", "report_interval"),
        *("identity", "address", "keepalive_interval", "keepalive_threshold"),
        *("name", "mtu", "offload", "legacy"),
        *("gateway", "masquerade", "accept_routes", "offer_exit", "exit_node", "kill_switch", "names"),
        *("cluster", "private_ip", "mask", "ciders", "private_ip6", "tier", "enabled", "expires_at"),
    )
)
KNOWN: Final = frozenset(  # whose name may be shown, and whose value not
    ("chacha20poly1305", "aes256", "xor", "public_key", "api_token", "psk", "private_key", "token", "crypto_config")
)
MAPPING: Final = "cider_mapping"


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file as it may be shown, as JSON, and what it or a file that it names holds beside that."""

    text: str
    secrets: tuple[str, ...]


def shown_toml(path: Path) -> ShownFile:
    """Return a server.toml or client.toml as it may be shown."""
    try:
        values = tomllib.loads(read_bytes(path, MAX_TOML_BYTES).decode())
    except ConfigError as error:
        return ShownFile(f"cannot be read: {error.problems[0].reason}\n", ())
    except (ValueError, RecursionError):  # its words may hold what stands in the file
        return ShownFile("is not TOML: rustun check tells where\n", ())
    return _shown(values, path.parent)


def shown_routes(path: Path) -> ShownFile:
    """Return a routes.json as it may be shown."""
    try:
        values = json.loads(read_bytes(path, MAX_ROUTES_BYTES))
    except ConfigError as error:
        return ShownFile(f"cannot be read: {error.problems[0].reason}\n", ())
    except (ValueError, RecursionError):
        return ShownFile("is not JSON: rustun check tells where\n", ())
    return _shown(values, path.parent)


def _shown(values: Any, folder: Path) -> ShownFile:
    hidden: list[str] = []
    text = json.dumps(_clean(values, hidden, MAX_DEPTH), indent=1, ensure_ascii=False, default=str)
    named = [secret for file in _key_files(values, MAX_DEPTH) for secret in _read_key_file(folder / file)]
    return ShownFile(f"{text}\n", (*hidden, *named))


def _clean(value: Any, hidden: list[str], depth: int) -> Any:
    """Return what may be shown of a table, or of a list of tables."""
    if isinstance(value, list):
        return [_clean(item, hidden, depth - 1) for item in value]
    if not isinstance(value, dict) or depth <= 0:
        hidden += _texts(value, MAX_DEPTH)
        return LEFT_OUT
    shown: dict[str, Any] = {}
    unknown = 0
    for key, item in value.items():
        if key in TABLES and isinstance(item, (dict, list)):
            shown[key] = _clean(item, hidden, depth - 1)
        elif (key == MAPPING and _is_mapping(item)) or (key in SHOWN and _is_plain(item)):
            shown[key] = item
        elif key in SHOWN | KNOWN:
            shown[key] = LEFT_OUT
            hidden += _texts(item, MAX_DEPTH)
        else:
            unknown += 1
            hidden += [*_texts(item, MAX_DEPTH), *([key] if len(key) > LONG_NAME else [])]
    return {**shown, "keys that are not known": unknown} if unknown else shown


def _is_plain(value: Any) -> bool:
    """Tell whether a value is one, or a list of those: no table, in which other keys stand."""
    return not isinstance(value, dict) and not (
        isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)
    )


def _is_mapping(value: Any) -> bool:
    try:
        return isinstance(value, dict) and all(ip_network(a) and ip_network(b) for a, b in value.items())
    except ValueError:
        return False


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping) and depth:
        for item in value.values():
            yield from _texts(item, depth - 1)
    elif isinstance(value, list) and depth:
        for item in value:
            yield from _texts(item, depth - 1)
    elif not isinstance(value, bool):
        yield str(value)


def _key_files(value: Any, depth: int) -> Iterator[str]:
    """Yield the paths below keys that name files with keys or tokens."""
    if isinstance(value, list) and depth:
        for item in value:
            yield from _key_files(item, depth - 1)
    if not isinstance(value, dict) or not depth:
        return
    for key, item in value.items():
        if key.endswith("_file") and key not in ("routes_file", "known_keys_file", "audit_file"):
            yield from (path for path in (item if isinstance(item, list) else [item]) if isinstance(path, str))
        yield from _key_files(item, depth - 1)


def _read_key_file(path: Path) -> list[str]:
    """Return the lines of a key file, and what stands behind METHOD: in them; none where it cannot be read."""
    try:
        text = read_bytes(path, MAX_KEY_FILE_BYTES).decode("utf-8", "replace")
    except ConfigError:
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return lines + [line.partition(":")[2] for line in lines if ":" in line]
