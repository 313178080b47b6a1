"""The ledger's SQL by name: `sql("orders.insert")` is the statement `insert` in `orders.sql`.

Statements live in `queries/*.sql`, each under a line `-- name: …`. A column list that several
statements share, and that `rows` decodes by position, is written once under `-- columns: …` and
put in where a statement says `{…}`.
"""

import re
from functools import cache
from pathlib import Path

_HEADING = re.compile(r"^-- (?P<kind>name|columns): (?P<name>\w+)\n", re.MULTILINE)


def sql(name: str) -> str:
    """The statement of that name. Raises: KeyError, when there is none."""
    return statements()[name]


@cache
def statements() -> dict[str, str]:
    """All statements by name."""
    found: dict[str, str] = {}
    columns: dict[str, str] = {}
    for file in Path(__file__).with_name("queries").glob("*.sql"):
        _, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        for kind, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            if kind == "columns":
                columns[name] = text.strip()
            else:
                found[f"{file.stem}.{name}"] = text.strip().rstrip(";")
    return {name: text.format_map(columns) for name, text in found.items()}
