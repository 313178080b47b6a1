"""The page at `/`: the state in words and where to read more. Plain HTML, no script, no style."""

from collections.abc import Sequence
from html import escape
from typing import Any

from vigil.web.route import Route
from vigil.web.shapes import HealthReply, StrategyShape

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Vigil: {status}</title>
</head>
<body>
<h1>Vigil is {status}</h1>
{reasons}
<p>Version {version} on {environment}, up {uptime_s} s, as of {timestamp}.</p>
<h2>Strategies</h2>
{strategies}
<h2>Endpoints</h2>
{endpoints}
</body>
</html>
"""


def status_page(
    health: HealthReply, strategies: Sequence[StrategyShape], routes: Sequence[Route[Any]]
) -> str:
    """The whole page, every value escaped."""
    return _PAGE.format(
        status=escape(health.status),
        reasons=_items(health.reasons),
        version=escape(health.version),
        environment=escape(health.environment),
        uptime_s=round(health.uptime),
        timestamp=escape(health.timestamp),
        strategies=_table(
            ("Id", "Strategy", "Instrument", "Wanted", "State"),
            [
                (item.id, item.name, item.instrument, item.status, item.analysis_state)
                for item in strategies
            ],
        ),
        endpoints=_table(
            ("Method", "Path", "Answers"),
            [(route.method, route.path, route.summary) for route in routes],
        ),
    )


def _items(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>" if texts else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"
