"""Writes the Grafana dashboard; a panel is a line here, and a test holds its metrics against those of the service.

python deploy/dashboard.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "grafana" / "dashboards" / "ragkit.json"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """`queries` are legend and expression; `per_row` says how many such panels stand side by side."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    per_row: int = 2


def quantile(share: float, metric: str, by: str = "", of: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le{by}) (rate({metric}_bucket{of}[$__rate_interval])))"


ASKED = '{route=~"/v1/(query|search|chat/completions)"}'
"""Questions; those who watch the service ask for its health far more often than anybody asks a question."""
CALLED = '{route=~"/v1/.*|/mcp"}'

COST = "sum(increase(ragkit_cost_usd_total[$__range]))"
BASELINE = "sum(increase(ragkit_baseline_usd_total[$__range]))"
DECLINED = 'sum(increase(ragkit_saved_usd{lever="abstained"}[$__range]))'
INPUT = 'sum(rate(ragkit_tokens_total{kind!="output"}[$__rate_interval]))'

PANELS = (
    Panel("Spent", {"": COST}, "currencyUSD", "stat", 4),
    Panel(
        "Saved against the baseline",
        {"in all": f"1 - {COST} / {BASELINE}", "of it declined": f"{DECLINED} / {BASELINE}"},
        "percentunit",
        "stat",
        4,
    ),
    Panel("Questions", {"": "sum(increase(ragkit_questions_total[$__range]))"}, "short", "stat", 4),
    Panel(
        "Events of unknown cost", {"": "sum(increase(ragkit_unknown_cost_events_total[$__range]))"}, "short", "stat", 4
    ),
    Panel(
        "Cost per hour, by model",
        {"{{model}}": "sum by (model) (rate(ragkit_cost_usd_total[$__rate_interval])) * 3600"},
        "currencyUSD",
    ),
    Panel("Saved since the start, by lever", {"{{lever}}": "sum by (lever) (ragkit_saved_usd)"}, "currencyUSD"),
    Panel("Tokens a second, by kind", {"{{kind}}": "sum by (kind) (rate(ragkit_tokens_total[$__rate_interval]))"}),
    Panel(
        "Share of the input that was read from a cache",
        {"read": f'sum(rate(ragkit_tokens_total{{kind="cache_read"}}[$__rate_interval])) / {INPUT}'},
        "percentunit",
    ),
    Panel(
        "Questions a second, by tier and outcome",
        {"{{tier}} {{outcome}}": "sum by (tier, outcome) (rate(ragkit_questions_total[$__rate_interval]))"},
    ),
    Panel(
        "Requests a second, by status",
        {"{{status}}": f"sum by (status) (rate(ragkit_requests_total{CALLED}[$__rate_interval]))"},
    ),
    Panel(
        "Seconds of a question",
        {
            "p50": quantile(0.5, "ragkit_request_seconds", of=ASKED),
            "p95": quantile(0.95, "ragkit_request_seconds", of=ASKED),
            "p99": quantile(0.99, "ragkit_request_seconds", of=ASKED),
        },
        "s",
    ),
    Panel("Seconds of a stage, p95", {"{{stage}}": quantile(0.95, "ragkit_stage_seconds", ", stage")}, "s"),
    Panel(
        "Answered at once, waiting, ingests",
        {"answered": "sum(ragkit_in_flight)", "waiting": "sum(ragkit_queue)", "ingests": "sum(ragkit_jobs)"},
    ),
    Panel("Refused a second, by reason", {"{{code}}": "sum by (code) (rate(ragkit_shed_total[$__rate_interval]))"}),
)


def dashboard() -> dict[str, Any]:
    return {
        "uid": "ragkit",
        "title": "ragkit",
        "description": "What answers cost, what they would have cost, and how the service bears its load.",
        "editable": True,
        "refresh": "30s",
        "schemaVersion": 41,
        "tags": ["ragkit"],
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "panels": list(_placed()),
    }


def _placed() -> Any:
    left = top = 0
    for number, panel in enumerate(PANELS, start=1):
        width, height = WIDTH // panel.per_row, HEIGHT if panel.kind == "timeseries" else HEIGHT // 2
        yield {
            "id": number,
            "title": panel.title,
            "type": panel.kind,
            "datasource": SOURCE,
            "gridPos": {"x": left, "y": top, "w": width, "h": height},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
            "targets": [
                {"refId": chr(65 + at), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                for at, (legend, query) in enumerate(panel.queries.items())
            ],
        }
        left += width
        if left == WIDTH:
            left, top = 0, top + height


def text() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
