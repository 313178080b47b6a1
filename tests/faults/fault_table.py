"""docs/faults.md, made of the marks in the tests: which fault is proven where.

`python tests/faults/fault_table.py` writes the page. Marks are read from the source, so that no test has
to be imported for it.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fault_rows import ROWS

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"

_HEAD = """\
# Faults, and where each is proven

Made from the tests by `scripts/fault-table`; a test fails when this page is not up to date. Each
test injects its fault into the real thing: the paper exchange over a real socket, a proxy that
mistreats bytes, minted certificates. `vigil paper --help` lists what the exchange can do wrong on
demand.
"""


class Proof(NamedTuple):
    """A test that carries a mark."""

    row: str
    path: str
    name: str


@functools.cache
def proofs() -> tuple[Proof, ...]:
    """Every mark of every test, in the order of the files."""
    found: list[Proof] = []
    for path in sorted(TESTS.rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        relative = path.relative_to(TESTS.parent).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found += [Proof(row, relative, node.name) for row in _rows_of(node)]
    return tuple(found)


def _rows_of(test: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            for argument in decorator.args:
                assert isinstance(argument, ast.Constant), f"{test.name}: rows must be plain text"
                yield str(argument.value)


def page() -> str:
    """The page as it should be."""
    by_row: dict[str, list[Proof]] = {row: [] for row in ROWS}
    for proof in proofs():
        by_row[proof.row].append(proof)
    lines = [_HEAD, "| | what goes wrong | what holds | proven by |", "| --- | --- | --- | --- |"]
    for row, (fault, promise) in ROWS.items():
        where = "<br>".join(
            f"[{proof.name.removeprefix('test_').replace('_', ' ')}](../{proof.path})"
            for proof in by_row[row]
        )
        lines.append(f"| {row} | {fault} | {promise} | {where} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
