"""From a strategy's name and `config` to a running strategy.

Vigil's own strategies are known without looking; a name that is not among them is looked for among
the installed entry points of the group `vigil.strategies`, and only the one asked for is imported:
a plugin that breaks at import is reported in `problems` and hurts nobody else. The scan takes tens
of milliseconds, which is why no start pays for it that needs no plugin.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from vigil.errors import Misconfigured
from vigil.strategies.parameters import StrategyParameters
from vigil.strategies.razor import Razor
from vigil.trading.signal import Strategy

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "vigil.strategies"


# What an entry point names: a class with a `Parameters` model, built as `Class(parameters)`. Its
# instances are to be a `Strategy`; foreign code cannot be held to more than `_load` looks at.
StrategyClass = type[Any]


class UnknownStrategy(Misconfigured):
    """No strategy has that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name.lower(), [one.lower() for one in names], n=1)
        guess = next((one for one in names if one.lower() in near), None)
        hint = f"; did you mean {guess!r}?" if guess else ""
        super().__init__(f"unknown strategy {name!r}, known are {', '.join(names)}{hint}")
        self.name = name


class BrokenStrategy(Misconfigured):
    """The plugin of that name is installed but cannot be used."""


class InvalidParameters(Misconfigured):
    """A strategy's `config` is wrong; nothing was built.

    Args:
        field: The offending key, as in the operator's file; empty when it is the whole.
        reason: What is wrong and what would be right.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"config.{field}: {reason}" if field else f"config: {reason}")
        self.field = field
        self.reason = reason


class Catalog:
    """The strategies that can be built, by name.

    Args:
        built_in: Known without looking; no plugin can take their names.
        scan: Lists the installed entry points of the group.
    """

    def __init__(
        self,
        built_in: Mapping[str, StrategyClass],
        scan: Callable[[], Iterable["EntryPoint"]],
    ) -> None:
        self._classes = dict(built_in)
        self._built_in = frozenset(built_in)
        self._scan = scan
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> Mapping[str, str]:
        """Why a plugin could not be used, by its name, as far as it was asked for."""
        return dict(self._problems)

    def names(self) -> tuple[str, ...]:
        """All names that can be asked for, sorted; looks through what is installed."""
        return tuple(sorted({*self._classes, *self._plugins()}))

    def build(self, name: str, config: Mapping[str, Any]) -> Strategy:
        """A new strategy with these parameters.

        Args:
            name: As in the operator's file, for instance `Razor`.
            config: Its keys in camelCase, numbers as int, Decimal or float.

        Raises: UnknownStrategy, BrokenStrategy or InvalidParameters, all of them Misconfigured.
        """
        strategy_class = self._class_of(name)
        strategy: Strategy = strategy_class(parse_parameters(strategy_class.Parameters, config))
        return strategy

    def _class_of(self, name: str) -> StrategyClass:
        if name in self._classes:
            return self._classes[name]
        plugins = self._plugins()
        if name not in plugins:
            raise UnknownStrategy(name, {*self._classes, *plugins})
        try:
            self._classes[name] = _load(plugins[name])
        except BrokenStrategy as error:
            self._problems[name] = str(error)
            raise
        self._problems.pop(name, None)
        return self._classes[name]

    def _plugins(self) -> dict[str, "EntryPoint"]:
        return {entry.name: entry for entry in self._scan() if entry.name not in self._built_in}


def load_catalog() -> Catalog:
    """Vigil's own strategies and whatever is installed beside it."""
    return Catalog({"Razor": Razor}, _scan)


def _scan() -> Iterable["EntryPoint"]:
    # Imported when a name that is not built in is asked for: it costs a start that needs it not.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return entry_points(group=GROUP)


def parse_parameters(model: type[StrategyParameters], config: Mapping[str, Any]) -> Any:
    """The validated instance of a strategy's parameter model.

    Raises: InvalidParameters, about the first key that is wrong.
    """
    known = sorted(field.alias or name for name, field in model.model_fields.items())
    try:
        # By alias only: a key has one spelling in the operator's file.
        return model.model_validate(dict(config))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = [str(part) for part in first["loc"]]
        if path and first["type"] != "extra_forbidden" and path[0] in model.model_fields:
            # A default that does not fit what was given is reported under its Python name.
            path[0] = model.model_fields[path[0]].alias or path[0]
        field = ".".join(path)
        raise InvalidParameters(field, _reason(first, known)) from error


def _reason(first: Mapping[str, Any], known: list[str]) -> str:
    given = first["input"]
    match first["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return f"unknown parameter, known are {', '.join(known)}{hint}"
        case "value_error":
            return f"{first['ctx']['error']}, not {_shown(given)}"
        case _:
            message = str(first["msg"])
            return f"{message[:1].lower()}{message[1:]}, not {_shown(given)}"


def _shown(given: Any) -> str:
    text = repr(given) if isinstance(given, str) else str(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _load(entry: "EntryPoint") -> StrategyClass:
    try:
        # Foreign code runs here for the first time and may raise whatever it likes.
        loaded = entry.load()
    except (Exception, SystemExit) as error:
        raise BrokenStrategy(
            f"strategy {entry.name!r} ({entry.value}) cannot be imported: {error!r}"
        ) from error
    model = getattr(loaded, "Parameters", None)
    if (
        not callable(loaded)
        or not isinstance(model, type)
        or not issubclass(model, StrategyParameters)
    ):
        raise BrokenStrategy(
            f"strategy {entry.name!r} ({entry.value}) is not a class with a `Parameters` model "
            "derived from vigil.strategies.parameters.StrategyParameters"
        )
    strategy_class: StrategyClass = loaded
    return strategy_class
