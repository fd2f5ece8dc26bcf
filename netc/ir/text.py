"""A graph as text that can be read back: for people, for tests of passes, and for `--print-after`.

    graph "lenet" TEST
    input data = 1x1x28x28
    param conv1/0 = 20x1x5x5
    variable conv2/0 = 50x20x5x5
    conv1: 1x20x24x24 = Convolution[conv1]({"": "ConvolutionParams", ...}; data; conv1/0)
    output prob
    update conv2/0 = step2
    loss loss weight 1

``lr_mult`` and ``decay_mult`` of a parameter stand behind it where they are not 1, and ``; down 1
0`` behind a node's inputs where the text says which bottoms a gradient passes to. Fields of an op
that have their default value are left out. Names that hold anything but letters, digits, ``_``,
``/``, ``-``, ``.``, ``@``, ``#`` and ``~`` stand in JSON quotes. Parameters' arrays, fillers and
spans are not part of the text.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping

from netc.ir.graph import Graph, Node, Parameter, Value
from netc.ir.types import Shape, show

_PLAIN = re.compile(r"[A-Za-z0-9_/\-.@#~]+\Z")

LoadParams = Callable[[str, object], object]


def print_graph(graph: Graph) -> str:
    """The graph's text; its last character is a newline."""
    lines = [f"graph {_quoted(graph.name)} {graph.phase}"]
    lines += [f"input {_name(v)}{_typed(graph, v)}" for v in graph.inputs]
    lines += [_parameter(p) for p in graph.parameters.values()]
    lines += [_node(graph, node) for node in graph.nodes]
    lines += [f"output {_name(v)}" for v in graph.outputs]
    lines += [f"update {_name(p)} = {_name(v)}" for p, v in graph.updates.items()]
    lines += [f"loss {_name(v)} weight {weight!r}" for v, weight in graph.losses.items()]
    return "\n".join(lines) + "\n"


def _typed(graph: Graph, value: str) -> str:
    return f" = {show(graph.values[value].shape, 'scalar', '?')}"


def _parameter(parameter: Parameter) -> str:
    owner = f" of {_name(parameter.owner)}" if parameter.owner is not None else ""
    kind = "variable" if parameter.variable else "param"
    mults = "".join(
        f" {what} {value!r}"
        for what, value in (("lr_mult", parameter.lr_mult), ("decay_mult", parameter.decay_mult))
        if value != 1
    )
    return f"{kind} {_name(parameter.name)} = {show(parameter.shape, 'scalar', '?')}{owner}{mults}"


def _node(graph: Graph, node: Node) -> str:
    outputs = ", ".join(
        f"{_name(v)}: {show(graph.values[v].shape, 'scalar', '?')}" for v in node.outputs
    )
    inputs = ", ".join(_name(v) for v in node.inputs)
    parameters = ", ".join(_name(p) for p in node.parameters)
    return (
        f"{outputs or '()'} = {node.op}[{_name(node.name)}]"
        f"({dump_params(node.params)}; {inputs}; {parameters}{_down(node)})"
    )


def _down(node: Node) -> str:
    """``; down 1 0``: which bottoms the text says that a gradient passes to."""
    passes = "".join(f" {int(down)}" for down in node.propagate_down)
    return f"; down{passes}" if passes else ""


def dump_params(params: object) -> str:
    """An op's frozen params as JSON: dataclasses as objects with their type's name.

    Fields that have their default value are left out.
    """
    return json.dumps(_plain(params), ensure_ascii=False)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        written = {
            f.name: _plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if getattr(value, f.name) != _default(f)
        }
        return {"": type(value).__name__, **written}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value


def _default(field: dataclasses.Field[object]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _name(name: str) -> str:
    return name if _PLAIN.match(name) else _quoted(name)


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


_TOKEN = r'(?:"(?:[^"\\]|\\.)*"|[A-Za-z0-9_/\-.@#~]+)'
_SIZES = r"(?:\?|scalar|[0-9]+(?:x[0-9]+)*)"
_OUT = rf"{_TOKEN}: {_SIZES}"
_HEAD = re.compile(rf"graph ({_TOKEN}) (\w+)")
_INPUT = re.compile(rf"input ({_TOKEN}) = ({_SIZES})")
_PARAM = re.compile(
    rf"(param|variable) ({_TOKEN}) = ({_SIZES})(?: of ({_TOKEN}))?"
    r"(?: lr_mult (\S+))?(?: decay_mult (\S+))?"
)
_UPDATE = re.compile(rf"update ({_TOKEN}) = ({_TOKEN})")
_LOSS = re.compile(rf"loss ({_TOKEN}) weight (\S+)")
_OUTPUT = re.compile(rf"output ({_TOKEN})")
_NAMES = rf"((?:{_TOKEN}(?:, {_TOKEN})*)?)"
_DOWN = r"(?:; down((?: [01])+))?"
_NODE = re.compile(
    rf"(\(\)|{_OUT}(?:, {_OUT})*) = (\w+)\[({_TOKEN})\]\((.*); {_NAMES}; {_NAMES}{_DOWN}\)"
)
_TYPED = re.compile(rf"({_TOKEN}): ({_SIZES})")


def parse_graph(text: str, load_params: LoadParams) -> Graph:
    """The graph of a text made by :func:`print_graph`.

    Args:
        text: the graph's text.
        load_params: (op's name, plain value) -> the op's frozen params.

    Raises:
        ValueError: a line that is none of the forms, with its number.
    """
    reader = _GraphReader(load_params)
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not reader.take(line):
            raise ValueError(f"line {number} is no part of a graph: {line!r}")
    return reader.graph()


class _GraphReader:
    """Takes the lines of a graph's text one by one."""

    def __init__(self, load_params: LoadParams) -> None:
        self.load_params = load_params
        self.name, self.phase = "", "TEST"
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.values: dict[str, Value] = {}
        self.parameters: dict[str, Parameter] = {}
        self.nodes: list[Node] = []
        self.updates: dict[str, str] = {}
        self.losses: dict[str, float] = {}

    def take(self, line: str) -> bool:
        if match := _HEAD.fullmatch(line):
            self.name, self.phase = _unquoted(match[1]), match[2]
        elif match := _INPUT.fullmatch(line):
            self.inputs.append(self._value(match[1], match[2]))
        elif match := _PARAM.fullmatch(line):
            self._parameter(match)
        elif match := _LOSS.fullmatch(line):
            self.losses[_unquoted(match[1])] = float(match[2])
        elif match := _OUTPUT.fullmatch(line):
            self.outputs.append(_unquoted(match[1]))
        elif match := _UPDATE.fullmatch(line):
            self.updates[_unquoted(match[1])] = _unquoted(match[2])
        elif match := _NODE.fullmatch(line):
            self._node(match)
        else:
            return False
        return True

    def _parameter(self, match: re.Match[str]) -> None:
        name = _unquoted(match[2])
        owner = _unquoted(match[4]) if match[4] is not None else None
        self.parameters[name] = Parameter(
            name,
            _parsed_shape(match[3]),
            owner=owner,
            variable=match[1] == "variable",
            lr_mult=float(match[5] or 1),
            decay_mult=float(match[6] or 1),
        )

    def _value(self, name: str, shape: str) -> str:
        plain = _unquoted(name)
        self.values[plain] = Value(plain, plain.partition("@")[0], _parsed_shape(shape))
        return plain

    def _node(self, match: re.Match[str]) -> None:
        outputs = [self._value(m[1], m[2]) for m in _TYPED.finditer(match[1])]
        params = self.load_params(match[2], json.loads(match[4]))
        inputs, parameters = _unquoted_all(match[5]), _unquoted_all(match[6])
        name = _unquoted(match[3])
        down = tuple(flag == "1" for flag in (match[7] or "").split())
        self.nodes.append(
            Node(name, match[2], params, inputs, tuple(outputs), parameters, propagate_down=down)
        )

    def graph(self) -> Graph:
        return Graph(
            self.name,
            tuple(self.nodes),
            tuple(self.inputs),
            tuple(self.outputs),
            self.values,
            self.parameters,
            self.phase,
            self.updates,
            self.losses,
        )


def _unquoted(name: str) -> str:
    return str(json.loads(name)) if name.startswith('"') else name


def _unquoted_all(names: str) -> tuple[str, ...]:
    return tuple(_unquoted(name) for name in re.findall(_TOKEN, names))


def _parsed_shape(text: str) -> Shape | None:
    if text == "?":
        return None
    return () if text == "scalar" else tuple(int(s) for s in text.split("x"))
