"""The route table written as an OpenAPI 3.1 document."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from vigil.web.requests import Nothing
from vigil.web.route import Route
from vigil.web.shapes import ErrorReply, schema_of

_TOKEN = "bearerToken"  # noqa: S105 (the scheme's name, not a token)

# What the border may answer in a handler's place.
_ERRORS_OF_READS = (400, 403, 404, 421, 500, 503, 504)
_ERRORS_OF_COMMANDS = (*_ERRORS_OF_READS, 401, 409, 413, 415)


def describe(routes: Sequence[Route[Any]], version: str) -> dict[str, Any]:
    """The document; `version` is Vigil's own."""
    shapes = tuple(
        {shape for route in routes for shape in (route.asked, route.reply) if shape}
        - {Nothing, dict[str, Any]}
        | {ErrorReply}
    )
    _, components = schema_of(tuple(sorted(shapes, key=lambda shape: shape.__name__)))
    queries = {route.asked.__name__ for route in routes if not route.is_command}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vigil", "version": version},
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route[Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handle.__name__.strip("_"),
        "summary": route.summary,
        "responses": {
            **{str(status): _response(status, _content(route)) for status in route.statuses},
            **{
                str(status): _response(status, _json(_reference("ErrorReply")))
                for status in (_ERRORS_OF_COMMANDS if route.is_command else _ERRORS_OF_READS)
                if status not in route.statuses
            },
        },
    }
    if route.is_command:
        operation["security"] = [{_TOKEN: []}]
    if route.asked is Nothing:
        return operation
    name = route.asked.__name__
    if route.is_command:
        operation["requestBody"] = {"required": True, "content": _json(_reference(name))}
    else:
        properties: dict[str, Any] = components[name]["properties"]
        operation["parameters"] = [
            {"name": parameter, "in": "query", "required": False, "schema": schema}
            for parameter, schema in properties.items()
        ]
    return operation


def _content(route: Route[Any]) -> dict[str, Any]:
    if route.reply is None:
        return {"text/html": {"schema": {"type": "string"}}}
    if route.reply == dict[str, Any]:
        return _json({"type": "object"})
    return _json(_reference(route.reply.__name__))


def _response(status: int, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": content}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
