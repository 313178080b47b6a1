"""The shape of the house: floors, purity, seams and sizes, read from the source itself."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "vigil"

# "About 400": a module is not cut in two for the sake of a few lines.
LINES_MAX = 420

# --- what is allowed


# Each floor and all it may import beside itself. What is not named here may not be imported, and a
# new floor is declared here before anything stands on it.
FOLDED = {"errors", "clock", "durable_file", "domain"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": {"errors"},
    "durable_file": {"errors"},
    "domain": {"errors"},
    # want → may → do
    "trading": {"domain", "errors"},
    "strategies": {"trading", "domain", "errors"},
    # adapters: the domain and one technology each, never one another
    "deribit": {"domain", "errors", "clock"},
    "paper": {"domain", "errors", "clock", "durable_file"},
    "ledger": {"domain", "errors", "clock", "durable_file"},
    "supervision": {"errors", "clock", "durable_file"},  # knows nothing of trading
    # where the adapters meet
    "desk": {*FOLDED, "trading", "deribit", "ledger"},
    "reconcile": {*FOLDED, "trading", "deribit", "ledger", "desk"},
    "telemetry": {*FOLDED, "trading", "supervision"},
    "fleet": {
        *FOLDED,
        "trading",
        "strategies",
        "deribit",
        "ledger",
        "supervision",
        "desk",
        "reconcile",
        "telemetry",
    },
    # a window on what the others tell; it holds no way to trade
    "web": {*FOLDED, "trading", "telemetry"},
    "config": {"errors", "domain"},
    "logs": {"errors", "clock", "config"},
    "lifecycle": {
        *FOLDED,
        "deribit",
        "ledger",
        "supervision",
        "desk",
        "reconcile",
        "fleet",
        "web",
    },
    "app": {
        *FOLDED,
        "strategies",
        "deribit",
        "ledger",
        "supervision",
        "desk",
        "reconcile",
        "telemetry",
        "fleet",
        "web",
        "config",
        "lifecycle",
    },
    # the terminal: asks the running process over HTTP, or starts one
    "cli_client": {"errors"},
    "cli_views": {"domain", "errors"},
    "cli_commands": {"cli_client", "cli_views", "errors", "domain"},
    "version": set(),
    "daemon": {"app", "clock", "config", "errors", "logs", "supervision", "version"},
    "cli": {
        "daemon",
        "version",
        "paper",
        "config",
        "errors",
        "clock",
        "cli_client",
        "cli_views",
        "cli_commands",
    },
    "__main__": {"cli"},
}

# Modules that decide (○ in the design), by path below src/vigil; a folder means all within.
DECIDES = [
    "errors.py",
    "domain",
    "trading",
    "strategies",
    "deribit/jsonrpc.py",
    "deribit/decoding.py",
    "deribit/wire.py",
    "deribit/wire_account.py",
    "deribit/wire_market.py",
    "deribit/shapes.py",
    "deribit/shapes_account.py",
    "deribit/shapes_market.py",
    "deribit/book.py",
    "deribit/answers.py",
    "deribit/platform_news.py",
    "deribit/classify.py",
    "deribit/channels.py",
    "deribit/order_form.py",
    "deribit/outcome.py",
    "deribit/tidings.py",
    "deribit/credits.py",
    "deribit/exchange_clock.py",
    "deribit/quiet_channels.py",
    "deribit/session.py",
    "deribit/stream_proof.py",
    "paper/market/board.py",
    "paper/market/chart_columns.py",
    "paper/market/charts.py",
    "paper/market/delivery_price.py",
    "paper/market/depth.py",
    "paper/market/expiries.py",
    "paper/market/feed.py",
    "paper/market/feeds.py",
    "paper/market/floor.py",
    "paper/market/index.py",
    "paper/market/instruments.py",
    "paper/market/market.py",
    "paper/market/options.py",
    "paper/market/pricing.py",
    "paper/market/regimes.py",
    "paper/market/tape.py",
    "paper/notify/books.py",
    "paper/notify/channels.py",
    "paper/notify/groups.py",
    "paper/notify/market_data.py",
    "paper/matching/engine.py",
    "paper/matching/floor.py",
    "paper/matching/form_checks.py",
    "paper/matching/forms.py",
    "paper/matching/gates.py",
    "paper/matching/pricing.py",
    "paper/matching/records.py",
    "paper/matching/self_match.py",
    "paper/matching/triggers.py",
    "paper/account/order_records.py",
    "paper/account/shelf.py",
    "paper/account/trade_records.py",
    "paper/account/orders.py",
    "paper/account/positions.py",
    "paper/account/margin.py",
    "paper/account/clearing.py",
    "paper/account/fees.py",
    "paper/account/funding.py",
    "paper/account/liquidation.py",
    "paper/account/log_rows.py",
    "paper/account/settlement.py",
    "paper/account/summaries.py",
    "paper/account/transaction_log.py",
    "paper/account/transfers.py",
    "paper/market/premium.py",
    "paper/matching/execution.py",
    "paper/matching/linked.py",
    "paper/matching/admission.py",
    "paper/methods/gate.py",
    "paper/methods/login.py",
    "paper/operator.py",
    "paper/platform.py",
    "paper/reactions.py",
    "paper/session",
    "paper/venue.py",
    "paper/watch.py",
    "paper/wire/frames.py",
    "paper/wire/wording.py",
    "paper/faults/arming.py",
    "paper/faults/arrivals.py",
    "paper/faults/deed.py",
    "paper/faults/entry.py",
    "paper/faults/error_words.py",
    "paper/faults/ghosts.py",
    "paper/faults/held.py",
    "paper/faults/interference.py",
    "paper/faults/market_deeds.py",
    "paper/faults/menu.py",
    "paper/faults/money_deeds.py",
    "paper/faults/order_deeds.py",
    "paper/faults/payloads.py",
    "paper/faults/platform_deeds.py",
    "paper/faults/session_deeds.py",
    "paper/faults/truth.py",
    "paper/faults/venue_deeds.py",
    "paper/faults/venue_faults.py",
    "paper/faults/wire_faults.py",
    "ledger/booking.py",
    "ledger/rows.py",
    "reconcile/compare.py",
    "reconcile/drift.py",
    "reconcile/exits.py",
    "reconcile/readings.py",
    "reconcile/resting.py",
    "reconcile/doubt.py",
    "reconcile/account_log.py",
    "supervision/restarts.py",
    "supervision/health.py",
    "telemetry/status.py",
    "telemetry/freshness.py",
    "rehearsal/invariants.py",
]

# What waits, looks at the world, or writes to it. `random` is judged by its use: dice are handed
# in as a `random.Random`.
WORLDLY_IMPORTS = {
    "aiohttp",
    "aiosqlite",
    "asyncio",
    "httpx",
    "io",
    "logging",
    "os",
    "pathlib",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "structlog",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
    "websockets",
    "vigil.clock",
}
WORLDLY_CALLS = {"open", "print", "input"}

# Reading a clock, rolling dice, waiting or starting a task belongs behind a seam.
UNSEAMED = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "date.today",
    "asyncio.sleep",
    "asyncio.create_task",
    "asyncio.ensure_future",
    "asyncio.get_running_loop().create_task",
    "asyncio.get_event_loop().create_task",
    "loop.create_task",
    "os.urandom",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid4",
}
UNSEAMED_MODULES = {"random", "secrets", "uuid"}
SEEDED_DICE = "random.Random"

# The edges themselves, each with the reason why it may do what nothing else may.
EDGES = {
    ("clock.py", "time.time_ns"): "the clock seam",
    ("clock.py", "time.monotonic"): "the clock seam",
    ("clock.py", "asyncio.sleep"): "the clock seam",
    ("desk/finishing.py", "asyncio.get_running_loop().create_task"): "awaited or ended within it",
    ("deribit/websocket.py", "os.urandom"): "masks, which must not be guessed; nothing reads them",
    (
        "supervision/supervisor.py",
        "asyncio.get_running_loop().create_task",
    ): "a child's task must outlive its cancelled keeper; the supervisor owns and awaits it",
    ("app.py", "random.Random()"): "the composition root makes the dice that all others are handed",
    (
        "paper/server.py",
        "asyncio.get_running_loop().create_task",
    ): "`start` serves in a task of its own, which `stop` and `wait` await",
    ("paper/server.py", "asyncio.ensure_future"): "awaited and cancelled within `start`",
    ("ledger/storage.py", "asyncio.sleep"): "gives way to the loop once; waits for no time",
    ("web/security.py", "secrets.token_urlsafe"): "an API token must not be predictable",
}

DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}

# Seconds are told as floats by the event loop; money never is.
FLOATLESS = ["domain", "trading", "ledger"]
SECONDS_SUFFIX = "_s"


# --- reading the source


def all_modules():
    return sorted(ROOT.rglob("*.py"))


def path_below_root(path):
    return path.relative_to(ROOT).as_posix()


def floor_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def is_below(path, places):
    below = path_below_root(path)
    return any(below == place or below.startswith(f"{place}/") for place in places)


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_name(path):
    parts = ("vigil", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


NAMES = {module_name(path): path for path in all_modules()}


@cache
def imports_of(path):
    """Every module named by an import anywhere in the file, inside functions and type-only too.

    `from vigil.a import b` counts as `vigil.a.b` where that is a module.
    """
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path_below_root(path)}:{node.lineno} imports relatively"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in NAMES else node.module)
    return frozenset(found)


def own_imports_of(path):
    return {NAMES[name] for name in imports_of(path) if name in NAMES}


def where(path, node):
    return f"{path_below_root(path)}:{node.lineno}"


MODULES = [pytest.param(path, id=path_below_root(path)) for path in all_modules()]
WITH_CODE = [param for param in MODULES if param.values[0].stat().st_size]
DECIDERS = [param for param in WITH_CODE if is_below(param.values[0], DECIDES)]


# --- floors


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_down_the_floors_only(path):
    floor = floor_of(path)
    if path.parent == ROOT and path.name == "__init__.py":
        assert not own_imports_of(path)
        return
    assert floor in MAY_IMPORT, f"declare what the new floor {floor!r} may import"
    upwards = {
        f"{path_below_root(path)} imports {module_name(other)}"
        for other in own_imports_of(path)
        if floor_of(other) != floor and floor_of(other) not in MAY_IMPORT[floor]
    }
    assert not upwards


def test_the_declared_floors_themselves_have_no_cycle():
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    assert order.index("domain") < order.index("trading") < order.index("strategies")
    assert order.index("trading") < order.index("fleet") < order.index("app")


def test_no_module_imports_in_a_circle_not_even_for_types():
    graph = {
        module_name(path): {module_name(other) for other in own_imports_of(path)}
        for path in all_modules()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


@pytest.mark.parametrize(
    ("floor", "technology"),
    [
        ("deribit", {"websockets", "httpx"}),
        ("ledger", {"sqlite3", "aiosqlite"}),
        ("web", {"aiohttp"}),
    ],
)
def test_a_technology_stays_in_its_adapter(floor, technology):
    paper_speaks_too = {"websockets", "aiohttp", "sqlite3"}
    strangers = {
        f"{path_below_root(path)} imports {name}"
        for path in all_modules()
        for name in imports_of(path)
        if name.split(".")[0] in technology
        and floor_of(path) != floor
        and not (floor_of(path) == "paper" and name.split(".")[0] in paper_speaks_too)
    }
    assert strangers <= TECHNOLOGY_ELSEWHERE.keys()


# Where a technology is named outside its adapter, and why.
TECHNOLOGY_ELSEWHERE = {
    "app.py imports httpx": "the composition root closes the client it built",
    "fleet/operations.py imports sqlite3": "reads the library's version for the status page",
    "cli_client.py imports httpx": "the terminal asks the running process over HTTP",
}


# --- decide or do


def test_every_module_said_to_decide_is_looked_for_where_it_is():
    """A renamed module must not slip out of the list; modules of later work may be missing."""
    planned = {
        "telemetry/freshness.py",
        "rehearsal/invariants.py",
    }
    missing = {place for place in DECIDES if not (ROOT / place).exists()}
    assert missing <= planned


@pytest.mark.parametrize("path", DECIDERS)
def test_what_decides_does_not_wait(path):
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert [where(path, node) for node in ast.walk(tree_of(path)) if isinstance(node, waits)] == []


@pytest.mark.parametrize("path", DECIDERS)
def test_what_decides_does_not_touch_the_world(path):
    touched = {
        name
        for name in imports_of(path)
        if name in WORLDLY_IMPORTS or name.split(".")[0] in WORLDLY_IMPORTS
    }
    assert not touched
    called = [
        f"{where(path, node)} {node.func.id}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in WORLDLY_CALLS
    ]
    assert called == []


@pytest.mark.parametrize("path", DECIDERS)
def test_what_decides_keeps_nothing_between_calls(path):
    """No `global`, and no container at module level that could be written to."""
    assert [
        where(path, node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Global)
    ] == []
    written = []
    for node in tree_of(path).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        is_container = isinstance(value, ast.Dict | ast.List | ast.Set)
        if is_container and not name.strip("_").isupper() and name != "__all__":
            written.append(where(path, node))
    assert written == []


# --- seams


def _unseamed_uses(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            module = dotted.split(".")[0]
            is_dice = (
                module in UNSEAMED_MODULES and dotted.count(".") == 1 and dotted != SEEDED_DICE
            )
            if dotted in UNSEAMED or is_dice:
                yield node, dotted
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == SEEDED_DICE:
            if not node.args and not node.keywords:
                yield node, "random.Random()"
        elif isinstance(node, ast.ImportFrom) and node.module in (
            UNSEAMED_MODULES | {"time", "asyncio"}
        ):
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                if dotted != SEEDED_DICE and (
                    dotted in UNSEAMED or node.module in UNSEAMED_MODULES
                ):
                    yield node, dotted


@pytest.mark.parametrize("path", WITH_CODE)
def test_clocks_dice_waits_and_tasks_stay_behind_their_seams(path):
    below = path_below_root(path)
    bare = [
        f"{where(path, node)} {what}"
        for node, what in _unseamed_uses(path)
        if (below, what) not in EDGES
    ]
    assert bare == []


def test_no_edge_is_allowed_that_nobody_uses():
    used = {
        (path_below_root(path), what) for path in all_modules() for _, what in _unseamed_uses(path)
    }
    assert EDGES.keys() <= used


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time\ntime.time()", "time.time"),
        ("from time import monotonic", "time.monotonic"),
        ("import random\nrandom.choice([1])", "random.choice"),
        ("import random\nrandom.Random()", "random.Random()"),
        ("from random import random", "random.random"),
        ("import asyncio\nasyncio.create_task(x)", "asyncio.create_task"),
        ("from datetime import datetime\ndatetime.now(UTC)", "datetime.now"),
        ("from uuid import uuid4", "uuid.uuid4"),
        ("import asyncio\nasyncio.get_running_loop().create_task(x)", None),
    ],
)
def test_the_search_for_bare_seams_sees_them(tmp_path, source, found):
    path = tmp_path / "probe.py"
    path.write_text(source, encoding="utf-8")
    expected = found or "asyncio.get_running_loop().create_task"
    assert [what for _, what in _unseamed_uses(path)] == [expected]


# --- errors and assertions


@pytest.mark.parametrize("path", WITH_CODE)
def test_no_bare_except_swallows_a_cancellation(path):
    bare = [
        where(path, node)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


BROAD = {"Exception", "BaseException"}
MAY_CATCH_ALL = {
    "supervision/supervisor.py": "decides what becomes of a child that raised anything",
    "web/border.py": "answers 500 instead of dropping the connection",
    "ledger/transactions.py": "carries the error to whoever submitted the work, where it is raised",
    "logs.py": "whatever a value's own text raises must not reach the caller who logs it",
}


def test_broad_excepts_stand_only_where_errors_are_handed_on():
    broad = {
        path_below_root(path)
        for path in all_modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and BROAD & {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    }
    assert broad <= MAY_CATCH_ALL.keys()


# --- money


def _is_seconds(name):
    return name.lower().endswith(SECONDS_SUFFIX)


def _names_float(expression):
    return expression is not None and any(
        isinstance(name, ast.Name) and name.id == "float" for name in ast.walk(expression)
    )


def _floats(tree):
    """Float annotations, conversions and literals, except where the name says seconds."""
    seconds = set()
    for node in ast.walk(tree):
        match node:
            case (
                ast.arg(arg=name)
                | ast.keyword(arg=str(name))
                | ast.AnnAssign(target=ast.Name(id=name))
                | ast.Assign(targets=[ast.Name(id=name)])
            ) if _is_seconds(name):
                seconds.update(ast.walk(node))
            case ast.FunctionDef(name=name, returns=returns) if _is_seconds(name) and returns:
                seconds.update((node, *ast.walk(returns)))
            case _:
                continue
    for node in ast.walk(tree):
        if node in seconds:
            continue
        match node:
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation):
                is_float = _names_float(annotation)
            case ast.FunctionDef(returns=returns) | ast.AsyncFunctionDef(returns=returns):
                is_float = _names_float(returns)
            case ast.Call(func=ast.Name(id="float")) | ast.Constant(value=float()):
                is_float = True
            case _:
                is_float = False
        if is_float:
            yield node


@pytest.mark.parametrize("path", [p for p in WITH_CODE if is_below(p.values[0], FLOATLESS)])
def test_money_is_never_a_float(path):
    assert [where(path, node) for node in _floats(tree_of(path))] == []


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("price: float = x", True),
        ("def fee(amount: Decimal) -> float: ...", True),
        ("def fee(amount: float | None) -> Decimal: ...", True),
        ("prices: list[float] = []", True),
        ("price = float(text)", True),
        ("fee = amount * 0.5", True),
        ("Decimal(0.1)", True),
        ("TIMEOUT_S = 5.0", False),
        ("def wait(delay_s: float) -> None: ...", False),
        ("def left_s(self) -> float: ...", False),
        ("wait(timeout_s=0.5)", False),
        ("fee = amount * 2", False),
    ],
)
def test_the_search_for_floats_sees_them(source, is_found):
    assert bool(list(_floats(ast.parse(source)))) is is_found


# --- modules


@pytest.mark.parametrize("path", WITH_CODE)
def test_a_module_opens_with_its_place_in_the_flow(path):
    assert ast.get_docstring(tree_of(path))


def test_packages_have_no_code_of_their_own():
    full = [path_below_root(path) for path in ROOT.rglob("__init__.py") if path.stat().st_size]
    assert full in ([], ["__init__.py"])


def test_no_module_is_so_long_that_it_has_two_subjects():
    lengths = {
        path_below_root(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in all_modules()
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def test_there_are_no_drawers():
    parts = {
        part for path in all_modules() for part in path.relative_to(ROOT).with_suffix("").parts
    }
    assert not {part for part in parts if DRAWERS & set(part.split("_"))}
