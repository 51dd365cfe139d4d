"""What Prometheus itself makes of our figures, rules and configuration."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from netlab.processes import CHECKOUT
from rustun.web.metrics import exposition
from tests.asked_of_prometheus import of_panels
from tests.netlab.promtool import check
from tests.unit.web.talking import client_document, server_document

DOCS = CHECKOUT / "docs"


def test_prometheus_is_content_with_the_figures() -> None:
    """A scrape is refused as a whole, or Prometheus' linter complains of a name, a type or a help."""
    full = {"build": {"python": "3.11.2", "kernel": "6.1"}, "handshakes": {"key": {"confirmed": 1}},
            "process": {"cpu_s": 1.0, "resident_bytes": 1}, "loop": {"longest_step_ms": 1.0}}  # fmt: skip
    for document in ({**server_document(3), **full}, client_document(**full)):
        assert check("metrics", given=exposition(document, member_labels=True)) == ""


def test_prometheus_takes_the_alert_rules() -> None:
    """A rule that is no PromQL keeps Prometheus from starting."""
    assert "10 rules found" in check("rules", str(DOCS / "alerts.yml"))


def test_prometheus_takes_what_the_panels_ask_for(tmp_path: Path) -> None:
    """A panel of the Grafana dashboard shows an error of PromQL in the place of its lines."""
    asked = of_panels()
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(asked)} rules found" in check("rules", "panels.yml", folder=tmp_path)


def test_prometheus_takes_the_configuration_of_the_docs(tmp_path: Path) -> None:
    """Who copies the scrape configuration from docs/metrics.md gets an error."""
    [text] = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / "metrics.md").read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "rustun.token").write_text("x")
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    shutil.copy(DOCS / "alerts.yml", tmp_path)
    assert "SUCCESS" in check("config", "prometheus.yml", folder=tmp_path)
