"""A graph while a pass rewrites it: an edit costs what it touches, not the size of the graph.

The graph that was given stays as it is; a new one is made at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from netc.ir.edit import with_nodes
from netc.ir.graph import Array, Graph, Node, Parameter, Value
from netc.ir.names import first_free
from netc.ir.types import Shape


class Draft:
    """A graph under rewriting: its nodes in order, and the producer and readers of each value.

    A node's name never passes to another node: a new node takes the name of the one it replaces, or
    a name that no node has had.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs = frozenset(graph.results)
        self._slots: list[Node | None] = list(graph.nodes)
        self._places: list[tuple[int, int]] = [(slot, 0) for slot in range(len(graph.nodes))]
        self._slot_of = {node.name: slot for slot, node in enumerate(graph.nodes)}
        self._values = dict(graph.values)
        self._parameters = dict(graph.parameters)
        self._producers = {v: i for i, node in enumerate(graph.nodes) for v in node.outputs}
        # How often each slot's node reads a value: of thousands of readers one is found at once.
        self._readers: dict[str, Counter[int]] = {v: Counter() for v in graph.values}
        self._waiting: dict[int, dict[str, str]] = {}  # see _defer
        self._changed = False
        for slot, node in enumerate(graph.nodes):
            for value in node.inputs:
                self._readers[value][slot] += 1

    def __iter__(self) -> Iterator[Node]:
        """The nodes there were at first, in order, each as it is when its turn comes."""
        for slot in range(len(self.graph.nodes)):
            node = self._at(slot)
            if node is not None:
                yield node

    def __contains__(self, name: object) -> bool:
        """True if a node of this name is there still."""
        slot = self._slot_of.get(name) if isinstance(name, str) else None
        return slot is not None and self._slots[slot] is not None

    def node(self, name: str) -> Node:
        """The node of this name as it is now.

        Raises:
            KeyError: there is none.
        """
        node = self._at(self._slot_of[name])
        assert node is not None
        return node

    def producer(self, value: str) -> Node | None:
        """The node that produces a value; None for an input of the graph."""
        slot = self._producers.get(value)
        return None if slot is None else self._at(slot)

    def readers(self, value: str) -> list[Node]:
        """The nodes that read a value, in order; a node that reads it twice is listed twice."""
        slots = sorted(self._readers[value].elements(), key=self._places.__getitem__)
        nodes = [self._at(slot) for slot in slots]
        return [node for node in nodes if node is not None]

    def only_reader(self, value: str) -> Node | None:
        """The only node that reads a value, and once; None for more readers or an output."""
        slots = self._readers[value]
        if len(slots) != 1 or value in self.outputs:
            return None
        ((slot, times),) = slots.items()
        return self._at(slot) if times == 1 else None

    def is_needed(self, value: str) -> bool:
        """Whether a value is an output of the graph, or read."""
        return value in self.outputs or bool(self._readers[value])

    def shape(self, value: str) -> Shape:
        """The inferred shape of a value."""
        shape = self._values[value].shape
        assert shape is not None
        return shape

    def array(self, parameter: str) -> Array:
        """A parameter's array; of one that shares another's elements, those in its own shape."""
        entry = self._parameters[parameter]
        if entry.owner is not None:
            return self.array(entry.owner).reshape(entry.shape or ())
        assert entry.array is not None
        return entry.array

    def is_variable(self, *parameters: str) -> bool:
        """True if the elements of any of these parameters may change between runs."""
        return any(self._parameters[name].variable for name in parameters)

    def put(self, name: str, node: Node) -> None:
        """Replace the node of this name; ``node`` keeps its own name."""
        slot = self._slot_of[name]
        self._take_out(slot)
        if node.name != name:
            del self._slot_of[name]
        self._place(slot, node)

    def _place(self, slot: int, node: Node) -> None:
        self._slot_of[node.name] = slot
        self._slots[slot] = node
        for value in node.inputs:
            self._readers[value][slot] += 1
        for value in node.outputs:
            self._producers[value] = slot
        self._changed = True

    def remove(self, name: str) -> None:
        """Remove a node; its outputs must no longer be read, or be produced by another node."""
        self._take_out(self._slot_of[name])
        self._changed = True

    def remove_unneeded(self, node: Node) -> None:
        """Remove a node if none of its outputs is an output of the graph or read."""
        if not any(self.is_needed(value) for value in node.outputs):
            self.remove(node.name)

    def _take_out(self, slot: int) -> None:
        node = self._at(slot)
        assert node is not None
        for value in node.inputs:
            self._readers[value].pop(slot, None)
        for value in node.outputs:
            if self._producers.get(value) == slot:
                del self._producers[value]
        self._slots[slot] = None

    def put_after(self, name: str, node: Node) -> None:
        """Insert a node of a new name behind the one of this name."""
        place, number = self._places[self._slot_of[name]]
        self._places.append((place, number + 1))
        self._slots.append(None)
        self._place(len(self._slots) - 1, node)

    def swap(self, first: Node, second: Node) -> None:
        """Exchange the places of two nodes, and replace both by these."""
        slots = self._slot_of[first.name], self._slot_of[second.name]
        for slot in slots:
            self._take_out(slot)
        for slot, node in zip(slots, (second, first), strict=True):
            self._place(slot, node)

    def redirect(self, old: str, new: str) -> None:
        """Let all readers of value ``old`` read ``new``."""
        for slot in sorted(self._readers[old], key=self._places.__getitem__):
            node = self._slots[slot]
            assert node is not None
            if len(node.inputs) > _MANY:
                self._defer(slot, old, new)
                continue
            inputs = tuple(new if v == old else v for v in node.inputs)
            self.put(node.name, replace(node, inputs=inputs))

    def _defer(self, slot: int, old: str, new: str) -> None:
        """Remember a change of a node with many inputs, to be made with others when it is seen.

        Each change would take as long as the node has inputs: a Concat of thousands of layers that
        are taken out one after another would take the square.
        """
        if new in self._waiting.get(slot, ()):
            self._at(slot)
        self._waiting.setdefault(slot, {})[old] = new
        self._readers[new][slot] += self._readers[old].pop(slot)
        self._changed = True

    def _at(self, slot: int) -> Node | None:
        """The node of a slot, after all changes."""
        node, waiting = self._slots[slot], self._waiting.pop(slot, None)
        if node is not None and waiting:
            node = replace(node, inputs=tuple(_last(waiting, v) for v in node.inputs))
            self._slots[slot] = node
        return node

    def rename(self, old: str, new: str) -> None:
        """Rename a produced value, for its producer and its readers."""
        node = self.producer(old)
        assert node is not None
        outputs = tuple(new if v == old else v for v in node.outputs)
        self.put(node.name, replace(node, outputs=outputs))
        self.redirect(old, new)

    def fresh_value(self, name: str, like: str, shape: Shape) -> str:
        """Add a value of this shape, and return its name: ``name``, or ``name~2``, ``name~3`` ...

        Its blob and place in the text are those of the value ``like``.
        """
        name = _untaken(name, self._values)
        self._values[name] = Value(name, self._values[like].blob, shape, self._values[like].span)
        self._readers[name] = Counter()
        return name

    def fresh_parameter(self, name: str, array: Array) -> str:
        """Add a parameter with this array, which becomes read-only, and return its unique name."""
        name = _untaken(name, self._parameters)
        array.flags.writeable = False
        self._parameters[name] = Parameter(name, array.shape, None, array)
        return name

    def reshaped_parameter(self, name: str, parameter: str, shape: Shape) -> str:
        """Add a parameter that has another's elements in this shape; returns its unique name."""
        name = _untaken(name, self._parameters)
        old = self._parameters[parameter]
        owner = old.owner or parameter
        self._parameters[name] = Parameter(
            name, shape, span=old.span, owner=owner, variable=old.variable
        )
        return name

    def result(self) -> Graph:
        """The new graph; the old one if nothing changed."""
        if not self._changed:
            return self.graph
        order = sorted(range(len(self._slots)), key=self._places.__getitem__)
        nodes = [node for slot in order if (node := self._at(slot)) is not None]
        graph = self.graph.replace(values=self._values, parameters=self._parameters)
        return with_nodes(graph, nodes)


_MANY = 32  # inputs of a node that is changed at last


def _last(renamed: Mapping[str, str], value: str) -> str:
    while value in renamed:
        value = renamed[value]
    return value


def _untaken(name: str, taken: dict[str, Value] | dict[str, Parameter]) -> str:
    """The name, or with ``~2``, ``~3`` ... after it where it is taken."""
    return first_free(name, taken, lambda number: f"{name}~{number}")
