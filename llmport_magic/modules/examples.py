"""The `>>>` examples of a prompt: found anywhere in its text, before any model is asked.

An example is a line that begins with `>>>`, its `...` lines, and what it shall give: the lines
below, up to a blank line, the next `>>>`, a fence or the end of a string. Without such lines the
example only has to run.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmport_magic.errors import UsageError
from llmport_magic.modules.gate import parses
from llmport_magic.modules.parsing import parse

# A forgotten blank (`>>>area(2)`) must not make an example silently vanish.
_PROMPT = re.compile(r"^(?P<indent>[ \t>]*?)>>>(?:[ \t]?(?P<code>[^>\s].*)|[ \t](?P<more>.*)|\s*)$")
_ENDS = re.compile(r"^\s*(```|~~~|\"\"\"|''')")
_TRACEBACK = re.compile(r"^Traceback \((most recent call last|innermost last)\):\s*$")
_ERROR = re.compile(r"^(?:raises? )?(?P<type>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$", re.DOTALL)
_OPTION = re.compile(r"#\s*doctest:\s*(.*)$", re.MULTILINE)
_ERROR_NAME = re.compile(
    r"(\w+(Error|Exception)|StopIteration|StopAsyncIteration|KeyboardInterrupt|"
    r"SystemExit|GeneratorExit)\Z"
)
# Calls in calls, as `go(len(rows))`: from the inner ones out.
_DEEPEST_CALL = 5
_IO_NAMES = frozenset(
    {
        "open", "input", "breakpoint", "exit", "quit", "requests", "httpx", "aiohttp", "urllib",
        "urllib3", "socket", "smtplib", "ftplib", "subprocess", "shutil", "display",
        "get_ipython", "webbrowser", "boto3", "paramiko",
    }
)  # fmt: skip
_IO_METHODS = re.compile(
    r"(read_(csv|excel|json|parquet|html|sql|table|feather|hdf|pickle|text|bytes)|"
    r"to_(csv|excel|parquet|sql|feather|hdf|pickle)|write_(text|bytes)|urlopen|urlretrieve|"
    r"savefig|imread|imwrite|loadtxt|savetxt)\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example of a prompt.

    Attributes:
        source: the code, with its further lines.
        expected: the text that it shall give; empty when it only has to run.
        line: its line in the prompt, from 1.
        raises: `ValueError`, or `ValueError: message`, where it shall raise.
        needs_io: whether it reads, writes, asks or connects, and is therefore not run.
        options: doctest's options on it, such as `ELLIPSIS`.
    """

    source: str
    expected: str = ""
    line: int = 0
    raises: str | None = None
    needs_io: bool = False
    options: tuple[str, ...] = ()


def parse_examples(prompt: str) -> tuple[Example, ...]:
    """Find the examples of a prompt, in their order."""
    lines = prompt.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found: list[Example] = []
    index = 0
    while index < len(lines):
        opening = _PROMPT.match(lines[index])
        if opening is None:
            index += 1
            continue
        first, indent = index, opening["indent"]
        code, index = _code(lines, index, opening)
        expected, index = _expected(lines, index, indent)
        if any(line.strip() and not line.lstrip().startswith("#") for line in code):
            found.append(_example(textwrap.dedent("\n".join(code)), expected, first + 1))
    return tuple(found)


def _code(lines: Sequence[str], index: int, opening: re.Match[str]) -> tuple[list[str], int]:
    """Read the code of an example; `...` goes on with it only while it is not complete."""
    code = [(opening["code"] or opening["more"] or "").rstrip()]
    index += 1
    while index < len(lines):
        rest = _continued(lines[index], opening["indent"])
        if rest is None or (rest.strip() and _is_complete(code)):
            break
        code.append(rest)
        index += 1
    while len(code) > 1 and not code[-1].strip():
        code.pop()
    return code, index


def _continued(line: str, indent: str) -> str | None:
    for start in (f"{indent}...", f"{indent.rstrip()}..."):
        if line.startswith(start) and line[len(start) : len(start) + 1] in {"", " ", "\t"}:
            return line[len(start) + 1 :].rstrip()
        if line.startswith(start):
            # `...world` is what an example with an ellipsis shall give.
            return None
    return None


def _is_complete(code: Sequence[str]) -> bool:
    text = "\n".join(code)
    compound = re.match(r"\s*(async |def |class |for |while |with |if |try\b|match |@)", text)
    return not compound and parses(text)


def _expected(lines: Sequence[str], index: int, indent: str) -> tuple[str, int]:
    wanted: list[str] = []
    while index < len(lines):
        line = lines[index]
        if not line.strip(" \t>") or _PROMPT.match(line) or _ENDS.match(line):
            break
        wanted.append(line.removeprefix(indent).rstrip())
        index += 1
    text = "\n".join(wanted)
    return re.sub(r"(?m)^\s*<BLANKLINE>\s*$", "", text), index


def _example(source: str, expected: str, line: int) -> Example:
    options = tuple(
        option.strip().lstrip("+")
        for listed in _OPTION.findall(source)
        for option in re.split(r"[,\s]+", listed)
        if option.strip().startswith("+")
    )
    raises = _raises(expected)
    return Example(
        source=source,
        expected="" if raises else expected,
        line=line,
        raises=raises,
        needs_io="SKIP" in options or _needs_io(source),
        options=options,
    )


def _raises(expected: str) -> str | None:
    """Read an expected exception: a traceback, or a line that names nothing but an error."""
    lines = expected.split("\n")
    if _TRACEBACK.match(lines[0]):
        for number, line in enumerate(lines[1:], 1):
            if line and not line[0].isspace():
                return "\n".join(lines[number:])
        return "Exception"
    found = _ERROR.match(expected)
    if found and expected.startswith("raise"):
        return re.sub(r"^raises? ", "", expected)
    if found is None or not _ERROR_NAME.match(found["type"].rpartition(".")[2]):
        return None
    return expected


def _tree(source: str) -> ast.Module | None:
    if not parses_with_await(source):
        return None
    return parse(source)


def parses_with_await(source: str) -> bool:
    """Tell whether an example's code is Python, `await` at its top level included."""
    if parses(source):
        return True
    indented = "\n".join(f"    {line}" for line in source.split("\n"))
    return "await" in source and parses(f"async def _():\n{indented}\n")


def _needs_io(source: str) -> bool:
    tree = _tree(source)
    if tree is None:
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _IO_NAMES:
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None) or node.names[0].name
            if module.partition(".")[0] in _IO_NAMES:
                return True
        if isinstance(node, ast.Attribute) and _IO_METHODS.match(node.attr):
            return True
    return False


# -- names ---------------------------------------------------------------------------------------


def refuse_unusable(
    examples: Sequence[Example], *, module_name: str, prompt: str, user_names: Collection[str]
) -> None:
    """Refuse, before anybody is asked, examples that no answer could pass.

    Args:
        examples: the parsed examples.
        module_name: the module's name.
        prompt: the whole prompt.
        user_names: what only the user's namespace holds.

    Raises:
        UsageError: one is no Python, or uses a variable that the sandbox cannot know.
    """
    for example in examples:
        wanted = (example.raises or "").partition(":")[0]
        is_meant = example.needs_io or wanted in {"SyntaxError", "IndentationError"}
        if not is_meant and not parses_with_await(example.source):
            first = example.source.strip().split("\n")[0]
            raise UsageError(
                f"nothing was sent: line {example.line} of the prompt, `>>> {first[:80]}`, is an "
                "example that is no Python: correct it, or begin the line with something else"
            )
    unknown = unknown_names(examples, module_name=module_name, prompt=prompt, user_names=user_names)
    if unknown:
        raise UsageError(
            f"the examples use `{'`, `'.join(unknown)}`, which only your notebook knows: write the "
            "value into the example, fill it in with `{{ name }}`, or name it with "
            f"`--with {','.join(unknown)}`"
        )


def unknown_names(
    examples: Sequence[Example],
    module_name: str,
    source: str | None = None,
    *,
    prompt: str = "",
    user_names: Collection[str] = (),
) -> tuple[str, ...]:
    """Name what the examples use and nothing of the module can define, in order of appearance.

    Before a module is there, any name may be one that it will define. A name of the user's
    namespace is different: unless the prompt's own words speak of it, and not only as what a call
    is given, or the example calls it, it is a variable that the sandbox cannot know.

    Args:
        examples: the parsed examples.
        module_name: the module's name, which the examples may use.
        source: the module's text, once it is there.
        prompt: the whole prompt, whose words name what the module shall define.
        user_names: what the user's namespace holds.
    """
    spoken = set(re.findall(r"\w+", _without_arguments(_without_examples(prompt))))
    defined = None if source is None else _top_level_names(source)
    known = {module_name, *dir(builtins)}
    unknown: dict[str, None] = {}
    for example in examples:
        tree = _tree(example.source)
        if tree is None:
            continue
        bound = set(_bound_names(tree))
        called = {
            n.func.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        for name in _loaded_names(tree):
            if name in known or name in bound:
                continue
            if defined is not None:
                missing = name not in defined
            else:
                missing = name in user_names and name not in spoken | called
            if missing:
                unknown[name] = None
        known |= bound
    return tuple(unknown)


def _without_examples(prompt: str) -> str:
    lines = prompt.split("\n")
    return "\n".join(line for line in lines if not re.match(r"[ \t>]*(>>>|\.\.\.)", line))


def _without_arguments(text: str) -> str:
    """Leave of each call its function: what it is given is somebody else's."""
    for _ in range(_DEEPEST_CALL):
        text = re.sub(r"(?<=\w)\([^()]*\)", "", text)
    return text


def loaded_names(source: str) -> set[str]:
    """Give the names that an example uses."""
    tree = _tree(source)
    return set(_loaded_names(tree)) if tree else set()


def bound_names(source: str) -> set[str]:
    """Give the names that an example defines."""
    tree = _tree(source)
    return set(_bound_names(tree)) if tree else set()


def _loaded_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def _bound_names(tree: ast.AST) -> Iterator[str]:
    """Give every name that a text binds anywhere, parameters and imports included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name


def _top_level_names(source: str) -> set[str]:
    tree = parse(source)
    names = set(_bound_names(tree))
    return names | set(_all_names(tree.body))


def _all_names(body: Iterable[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in statement.targets
        ):
            for node in ast.walk(statement.value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
