"""What one endpoint is: a row of the route table, and what its handler is given and gives back."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal

from vigil.clock import Clock
from vigil.web.operations import Operations
from vigil.web.requests import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every handler may use."""

    operations: Operations
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A handler's reply: a shape to be sent as JSON, or text to be sent as HTML."""

    content: object
    status: int = 200


@dataclass(frozen=True, slots=True)
class Route(Generic[Asked]):
    """One endpoint. A GET changes nothing; a POST is a command and needs the bearer token.

    Args:
        asked: Shape of the query string of a GET, or of the JSON body of a POST.
        reply: Shape of the JSON reply; None when an HTML page is sent.
        statuses: Those that carry `reply`; the errors come besides.
    """

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handle: Callable[[Context, Asked], Awaitable[Answer]]
    asked: type[Asked]
    reply: type[Any] | None
    statuses: tuple[int, ...] = (200,)

    @property
    def is_command(self) -> bool:
        """Whether it changes anything."""
        return self.method == "POST"


@dataclass(frozen=True, slots=True)
class RouteMissing:
    """No route has this path and method; `allowed` are the methods that the path knows."""

    allowed: tuple[str, ...]


def find_route(routes: Iterable[Route[Any]], method: str, path: str) -> Route[Any] | RouteMissing:
    """The route for a request. HEAD is served as GET, its body left out by the server."""
    sought = "GET" if method == "HEAD" else method
    at_path = [route for route in routes if route.path == path]
    for route in at_path:
        if route.method == sought:
            return route
    return RouteMissing(tuple(sorted(route.method for route in at_path)))
