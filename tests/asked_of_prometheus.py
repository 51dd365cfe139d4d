"""What docs/grafana/rustun.json and docs/alerts.yml ask Prometheus for, expression by expression."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXPRESSION = re.compile(r"^ +expr: (.+)$", re.MULTILINE)
VARIABLES = {"$instance": ".*", "$__rate_interval": "5m"}  # of Grafana, as it would fill them in


def of_alerts() -> list[str]:
    """Return the expressions of the alert rules."""
    return EXPRESSION.findall((DOCS / "alerts.yml").read_text())


def targets() -> Iterator[dict[str, Any]]:
    """Yield what each panel of the dashboard asks for."""
    for panel in json.loads((DOCS / "grafana" / "rustun.json").read_text())["panels"]:
        yield from panel.get("targets", ())


def of_panels() -> list[str]:
    """Return the expressions of the dashboard's panels, as Prometheus is asked."""
    found = []
    for target in targets():
        expression = target["expr"]
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        found.append(expression)
    return found
