"""Finds a script's calls of Caffe and of OpenCV's dnn module, and says what to replace each with.

Python is parsed by the module ast and never run. A file that it rejects, mostly Python 2, is
searched line by line.
"""

from __future__ import annotations

import ast
import dis
import importlib
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

PYCAFFE = "netc.compat.pycaffe"
OPENCV = "netc.compat.opencv"
MAX_BYTES = 4 << 20

# Attributes that objects get when they are made, so that their classes do not show them.
_OF_OBJECTS = frozenset(
    {"blobs", "params", "net", "test_nets", "iter", "transformer", "mean", "data"}
)
_MADE = frozenset({"layers", "params"})  # of these any name is a layer's type or a message's


class ScriptCall(NamedTuple):
    """One use of Caffe or cv2.dnn.

    Attributes:
        line: line number, from 1.
        written: the call as written.
        becomes: what to write instead; unchanged where it works once the import is replaced.
        works: whether netc supports it.
    """

    line: int
    written: str
    becomes: str
    works: bool


class Script(NamedTuple):
    """A script's calls; ``problem`` says why the script could not be parsed, if so."""

    calls: tuple[ScriptCall, ...]
    problem: str = ""


def script_calls(path: Path) -> Script:
    """The calls of a .py file or of the code cells of a notebook."""
    try:
        data = path.read_bytes()[: MAX_BYTES + 1]
    except OSError as error:
        return Script((), f"it cannot be read: {(error.strerror or str(error)).lower()}")
    if len(data) > MAX_BYTES:
        return Script((), f"it is larger than {MAX_BYTES:,} bytes and is not looked at")
    text = data.decode("utf-8", "replace")
    if path.suffix.lower() == ".ipynb":
        text, problem = _notebook(text)
        if problem:
            return Script((), problem)
    return calls_of(text)


def _notebook(text: str) -> tuple[str, str]:
    """The code cells as one script, magic lines as comments."""
    try:
        cells = json.loads(text)["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", "it is no notebook of today's format"
    return re.sub(r"^(\s*)[%!]", r"\1#", "\n".join(code), flags=re.MULTILINE), ""


def calls_of(text: str) -> Script:
    """The calls of a script's text."""
    if "caffe" not in text and "dnn" not in text:
        return Script(())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        return Script(tuple(_by_lines(text)), f"Python 3 does not read it{line}: {_old(text)}")
    except (RecursionError, MemoryError):
        return Script(tuple(_by_lines(text)), "it is nested too deeply to be parsed")
    finder = _Finder()
    try:
        finder.visit(tree)
    except RecursionError:
        return Script(tuple(_by_lines(text)), "it is nested too deeply to be looked through")
    return Script(tuple(sorted(set(finder.calls))))


def _old(text: str) -> str:
    if re.search(r"^\s*(print [^(=]|except \w+, \w+:|raise \w+, )", text, re.MULTILINE):
        return "it is Python 2; `2to3 -w` (of Python up to 3.12) or `futurize -w` makes it Python 3"
    return "mend its syntax first"


class _Finder(ast.NodeVisitor):
    """Gathers imports of caffe, uses of what they name, and of what such calls gave."""

    def __init__(self) -> None:
        self.calls: list[ScriptCall] = []
        self.names: dict[str, str] = {}  # name in the script -> dotted name in Caffe or cv2
        self.objects: dict[str, str] = {}  # name in the script -> what made it
        self.own: set[str] = set()  # attributes that the script itself gives to objects

    def visit_Import(self, node: ast.Import) -> None:
        """``import caffe``, ``import caffe.io as cio``, ``import cv2``."""
        for alias in node.names:
            root = alias.name.partition(".")[0]
            if root in ("caffe", "cv2"):
                self.names[alias.asname or root] = alias.name if alias.asname else root
            if root == "caffe":
                written = f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")
                self._import(node, written, alias.name, alias.asname)

    def _import(self, node: ast.AST, written: str, module: str, name: str | None) -> None:
        new = _replaced(module)
        if not _exists(module):
            self._add(node, written, f"there is no `{module}` in netc", False)
        elif module == "caffe" or name:
            self._add(node, written, f"import {new} as {name or 'caffe'}", True)
        else:
            becomes = f"import {new}; import {PYCAFFE} as caffe"
            self._add(node, written, becomes, True)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """``from caffe import layers as L``, ``from cv2 import dnn``."""
        module = node.module or ""
        root = module.partition(".")[0]
        if node.level or root not in ("caffe", "cv2"):
            return
        for alias in node.names:
            full = f"{module}.{alias.name}"
            self.names[alias.asname or alias.name] = full
            as_name = f" as {alias.asname}" if alias.asname else ""
            written = f"from {module} import {alias.name}{as_name}"
            if root == "caffe":
                works = _exists(module if alias.name == "*" else full)
                becomes = f"from {_replaced(module)} import {alias.name}{as_name}"
                self._add(node, written, becomes if works else _missing(full), works)
            elif full.startswith("cv2.dnn"):
                becomes = f"import {OPENCV}{as_name or ' as dnn'}"
                self._add(
                    node, written, becomes if full == "cv2.dnn" else _dnn(full), _exists(full)
                )

    def visit_Assign(self, node: ast.Assign) -> None:
        """``net = caffe.Net(...)``: what is called of ``net`` later is a call of it."""
        if isinstance(node.value, ast.Call):
            made = self._dotted(node.value.func)
            if made and (made.startswith("caffe.") or made.startswith("cv2.dnn.")):
                for target in node.targets:
                    if name := _plain_name(target):
                        self.objects[name] = made
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """The longest chain of names that begins with an import or an object."""
        full = self._dotted(node)
        if full is not None and full.startswith("caffe."):
            works = _exists(full)
            written = _chain(node)
            self._add(node, written, f"{written} (as it is)" if works else _missing(full), works)
        elif full is not None and full.startswith("cv2.dnn."):
            self._add(node, _chain(node), _dnn(full), _exists(full))
        elif (base := _plain_name(node.value)) in self.objects:
            self._method(node, str(base))
        else:
            self.generic_visit(node)

    def _method(self, node: ast.Attribute, name: str) -> None:
        made = self.objects[name]
        if isinstance(node.ctx, ast.Store) and not _has(made, node.attr):
            self.own.add(node.attr)
        if node.attr in self.own or _takes_any_name(made, node.attr):
            return  # the script's own, such as a blob of a NetSpec
        works = node.attr in _OF_OBJECTS or _has(made, node.attr)
        written = f"{name}.{node.attr}"
        becomes = f"{written} (as it is)" if works else f"`{node.attr}` of {made} is not in netc"
        self._add(node, written, becomes, works)

    def _dotted(self, node: ast.AST) -> str | None:
        chain = _chain(node)
        head, dot, rest = chain.partition(".")
        return f"{self.names[head]}{dot}{rest}" if head in self.names else None

    def _add(self, node: ast.AST, written: str, becomes: str, works: bool) -> None:
        self.calls.append(ScriptCall(getattr(node, "lineno", 0), written, becomes, works))


def _plain_name(node: ast.AST) -> str | None:
    """``net``, or ``self.net``."""
    chain = _chain(node)
    return chain if chain.count(".") <= 1 else None


def _chain(node: ast.AST) -> str:
    """``a.b.c`` of names alone; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def _replaced(name: str) -> str:
    """Caffe's dotted name in netc."""
    return PYCAFFE + name.removeprefix("caffe")


def _dnn(full: str) -> str:
    name = full.removeprefix("cv2.dnn.")
    return (
        f"dnn.{name}, after `import {OPENCV} as dnn`" if _exists(full) else f"cv2.dnn.{name} stays"
    )


def _missing(full: str) -> str:
    return f"netc has no `{full}`"


def _exists(full: str) -> bool:
    """Whether netc has a name of Caffe or of cv2.dnn, as far as it can be followed."""
    target = full.replace("cv2.dnn", OPENCV, 1) if full.startswith("cv2.dnn") else _replaced(full)
    return _follow(target) is not None


def _follow(dotted: str) -> object | None:
    """What a dotted name of netc's own interfaces is; None where there is no such thing."""
    parts = dotted.split(".")
    value: object = importlib.import_module(".".join(parts[:3]))
    name = ".".join(parts[:3])
    for part in parts[3:]:
        if name.rpartition(".")[2] in _MADE:
            return value
        name = f"{name}.{part}"
        found = getattr(value, part, None)
        if found is None and hasattr(value, "__path__"):
            found = _submodule(name)
        if found is None:
            return value if isinstance(value, type) and part in _OF_OBJECTS else None
        value = found
    return value


def _submodule(name: str) -> object | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _takes_any_name(made: str, attribute: str) -> bool:
    """Whether an attribute is one that a script may name as it likes, as NetSpec's blobs are."""
    found = _follow(_replaced(made)) if made.startswith("caffe.") else None
    return hasattr(found, "__getattr__") and not hasattr(found, attribute)


def _has(made: str, attribute: str) -> bool:
    """Whether what a call gave has an attribute."""
    target = made.replace("cv2.dnn", OPENCV, 1) if made.startswith("cv2.dnn") else _replaced(made)
    found = _follow(target)
    if target.startswith(OPENCV) and not isinstance(found, type):
        found = _follow(f"{OPENCV}.Net") if ".readNet" in target else None
    if found is None or not isinstance(found, type):
        return target.rpartition(".")[2] not in ("get_solver",) or _has(
            "caffe.SGDSolver", attribute
        )
    # The fields of a generated protobuf class are attributes of its messages alone.
    fields = getattr(getattr(found, "DESCRIPTOR", None), "fields_by_name", ())
    return hasattr(found, attribute) or attribute in fields or attribute in _set_by_init(found)


def _set_by_init(made: type) -> set[str]:
    """The attributes that the initialisers of a class and of those before it set."""
    initialisers = [vars(base).get("__init__") for base in made.__mro__]
    return {
        instruction.argval
        for function in initialisers
        if isinstance(function, FunctionType)
        for instruction in dis.get_instructions(function)
        if instruction.opname == "STORE_ATTR"
    }


# A string of any quotes, or a comment. An unclosed quote ends with its line.
_WORDS = re.compile(
    r'"""(?:\\.|(?!""")[^\\])*"""|\'\'\'(?:\\.|(?!\'\'\')[^\\])*\'\'\''
    r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*',
    re.DOTALL,
)
_USE = re.compile(r"(?<![\w.])(caffe(?:\.\w+)+|cv2\.dnn\.\w+)")
_IMPORT = re.compile(r"^\s*(import caffe[\w.]*(?: as \w+)?|from caffe[\w.]* import [\w, *]+)")


def _by_lines(text: str) -> Iterator[ScriptCall]:
    """The calls of a script that is not parsed; what strings and comments say is no call."""
    code = _WORDS.sub(lambda found: "\n" * found[0].count("\n"), text)
    for number, line in enumerate(code.split("\n"), 1):
        imported = _IMPORT.match(line)
        if imported:
            written = imported[1].strip()
            becomes = re.sub(r"\bcaffe\b", PYCAFFE, written, count=1)
            if " as " not in becomes and becomes.startswith("import") and "." not in written:
                becomes += " as caffe"
            yield ScriptCall(number, written, becomes, True)
            continue
        for found in _USE.finditer(line):
            full = found[1]
            works = _exists(full)
            same = _dnn(full) if full.startswith("cv2") else f"{full} (as it is)"
            yield ScriptCall(number, full, same if works else _missing(full), works)
