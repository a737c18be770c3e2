"""The JSON schema of a Python function, and whether the arguments of a call fit a schema."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from llmport_magic.errors import UsageError

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_REFERENCE = "#/$defs/"
_LONGEST_PROBLEM = 300
_ARGUMENTS = re.compile(
    r"^[ ]*(?:Args|Arguments|Parameters):[ ]*\n(?P<lines>(?:[ ]+.*\n?|\n)*)", re.MULTILINE
)
_ARGUMENT = re.compile(r"(?P<name>\w+)(?:\s*\([^)]*\))?:\s*(?P<text>.*)", re.DOTALL)


def description_of(function: Callable[..., Any]) -> str:
    """Give a function's docstring without what it says about the arguments."""
    return _ARGUMENTS.sub("", _docstring(function)).strip()


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Write the JSON schema of a function's arguments: types from its signature, words from its
    docstring (Google's style) or from `Annotated[..., msgspec.Meta(description=...)]`.

    Raises:
        UsageError: a parameter has no annotation, or one that JSON has no word for.
    """  # noqa: D205 - one sentence of two lines
    parameters = _parameters(function)
    schemas, definitions = _schemas(function, parameters)
    words = dict(_argument_words(function))
    properties = {}
    for parameter, found in zip(parameters, schemas, strict=True):
        schema = _without_references(found, definitions, parameter.name)
        if parameter.name in words and "description" not in found:
            # What is said here of the argument is nearer than what its type says of itself.
            schema = {**schema, "description": words[parameter.name]}
        properties[parameter.name] = schema | _default(parameter)
    return {
        "type": "object",
        "properties": properties,
        "required": [p.name for p in parameters if p.default is p.empty],
        "additionalProperties": False,
    }


def converted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the values of a JSON object into the types that a function's parameters ask for.

    Raises:
        ValueError: a value is none of its parameter's type.
    """
    kinds = {parameter.name: parameter.annotation for parameter in _parameters(function)}
    values = {}
    for name, value in arguments.items():
        try:
            values[name] = msgspec.convert(value, kinds[name])
        except msgspec.ValidationError as error:
            raise ValueError(f"`{name}`: {error}") from None
    return values


def problem(
    value: Any, schema: Mapping[str, Any], named: str = "a tool's `parameters`"
) -> str | None:
    """Say what is wrong with arguments or another value, or `None` where it fits the schema.

    Args:
        value: of JSON.
        schema: for it.
        named: the schema's name in an error.

    Raises:
        UsageError: the schema is none.
    """
    import jsonschema
    import referencing

    # Its own registry: the default one would fetch the addresses that a schema names.
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        validator = kind(schema, registry=referencing.Registry())
        wrong = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except jsonschema.exceptions.SchemaError as error:
        raise UsageError(f"no JSON schema in {named}: {error.message}") from None
    except referencing.exceptions.Unresolvable as error:
        raise UsageError(f"a reference to nothing in {named}: {error}") from None
    if wrong is None:
        return None
    where = f"`{wrong.json_path.removeprefix('$.')}`: " if wrong.path else ""
    return f"{where}{wrong.message[:_LONGEST_PROBLEM]}"


def _docstring(function: Callable[..., Any]) -> str:
    plain = function if inspect.isroutine(function) else getattr(function, "func", function)
    return inspect.getdoc(plain) or ""


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    name = getattr(function, "__name__", repr(function))
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise UsageError(f"`{name}` cannot be a tool: its annotation {error}") from None
    except (TypeError, ValueError):
        raise UsageError(f"`{name}` cannot be a tool: it has no signature") from None
    parameters = list(signature.parameters.values())
    for parameter in parameters:
        if parameter.kind not in _BY_NAME:
            raise UsageError(
                f"`{name}` cannot be a tool: `{parameter}` cannot be given by a name; write out "
                "what it takes"
            )
        if parameter.annotation is parameter.empty:
            raise UsageError(
                f"`{name}` cannot be a tool: write the type of `{parameter.name}`, as in "
                f"`{parameter.name}: str`"
            )
    return parameters


def _schemas(
    function: Callable[..., Any], parameters: list[inspect.Parameter]
) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    kinds = [parameter.annotation for parameter in parameters]
    try:
        return msgspec.json.schema_components(kinds, ref_template=_REFERENCE + "{name}")
    except TypeError:
        pass
    for parameter in parameters:
        try:
            msgspec.json.schema(parameter.annotation)
        except TypeError as error:
            name = getattr(function, "__name__", repr(function))
            said = str(error).rpartition("\n")[2]
            raise UsageError(
                f"`{name}` cannot be a tool: JSON has no word for the type of "
                f"`{parameter.name}` ({said}); take a str, a number, a list or a dataclass"
            ) from None
    raise UsageError("the parameters' types cannot be used together")


def _without_references(schema: Any, definitions: Mapping[str, Any], *inside: str) -> Any:
    """Write each definition out where it is named: not every provider reads references."""
    if isinstance(schema, list):
        return [_without_references(part, definitions, *inside) for part in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix(_REFERENCE)
    if name in inside[1:]:
        raise UsageError(f"`{inside[0]}` cannot be a tool's parameter: `{name}` holds itself")
    if name:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema, inside = {**definitions[name], **rest}, (*inside, name)
    return {key: _without_references(value, definitions, *inside) for key, value in schema.items()}


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    if parameter.default is parameter.empty:
        return {}
    try:
        return {"default": msgspec.to_builtins(parameter.default)}
    except TypeError:
        return {}


def _argument_words(function: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Give each argument that the docstring describes, and its description as one line."""
    section = _ARGUMENTS.search(_docstring(function))
    lines = [line for line in section["lines"].splitlines() if line.strip()] if section else []
    indents = [len(line) - len(line.lstrip()) for line in lines]
    entries: list[str] = []
    for line, indent in zip(lines, indents, strict=True):
        if indent == indents[0]:
            entries.append(line.strip())
        else:
            entries[-1] += f" {line.strip()}"
    for entry in entries:
        found = _ARGUMENT.fullmatch(entry)
        if found:
            yield found["name"], found["text"]
