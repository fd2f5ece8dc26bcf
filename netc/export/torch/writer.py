"""Lines of Python for a graph's nodes: names that are fit for Python, modules, arrays."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field

import numpy as np

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.graph import Array, Graph, Node
from netc.ir.names import first_free
from netc.ir.types import Shape

# What a module has already, or the code names: no layer or blob may be called so.
_TAKEN = frozenset(
    """T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
    double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
    get_submodule half ipu load_state_dict modules mtia named_buffers named_children named_modules
    named_parameters parameters register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu
    zero_grad self torch nn F np Net load Path
    Factor Constant Recurrent DetectionOutput greatest roi_pooling""".split()
)


@dataclass
class TorchWriter:
    """What has been written so far.

    Attributes:
        modules: attribute -> expression that makes the module, in ``__init__``.
        arrays: state_dict key -> array.
        lines: the lines of ``forward``.
        helpers: names of the classes and functions of netc.export.torch.helpers it needs.
    """

    graph: Graph
    modules: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def value(self, name: str) -> str:
        """The variable of a value; a layer in place gives its own input's variable anew."""
        name = self._last(name)
        if name not in self._names:
            plain = identifier(name)
            free = first_free(plain, self._used | _TAKEN, lambda number: f"{plain}_{number}")
            self._used.add(free)
            self._names[name] = free
        return self._names[name]

    def _last(self, name: str) -> str:
        """The value that ends as the variable of this one: its only reader rewrites its blob."""
        while True:
            readers = self.graph.readers[name]
            if len(readers) != 1 or len(readers[0].outputs) != 1 or name in self.graph.outputs:
                return name
            made = readers[0].outputs[0]
            if self.graph.values[made].blob != self.graph.values[name].blob:
                return name
            name = made

    def module_name(self, node: Node) -> str:
        """The attribute that a layer's module is."""
        plain = identifier(node.name)
        return first_free(plain, {*self.modules, *_TAKEN}, lambda number: f"{plain}_{number}")


def identifier(name: str) -> str:
    """A name of Python's made of any text."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "x"
    plain = f"n{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if keyword.iskeyword(plain) or keyword.issoftkeyword(plain) else plain


@dataclass(frozen=True)
class TorchLayer:
    """A node that is being written."""

    writer: TorchWriter
    node: Node

    @property
    def inputs(self) -> list[str]:
        """Its inputs' variables."""
        return [self.writer.value(name) for name in self.node.inputs]

    def shape(self, at: int = 0) -> Shape:
        """The shape of an input."""
        return self.writer.graph.shape(self.node.inputs[at])

    def made(self, at: int = 0) -> Shape:
        """The shape of an output."""
        return self.writer.graph.shape(self.node.outputs[at])

    @property
    def arrays(self) -> list[Array]:
        """Its trained arrays."""
        from netc.backends.reference import parameter_array

        return [parameter_array(self.writer.graph, name) for name in self.node.parameters]

    def module(self, made: str, **arrays: Array) -> str:
        """Add a module with its arrays; returns the expression that refers to it."""
        name = self.writer.module_name(self.node)
        self.writer.modules[name] = made
        for key, array in arrays.items():
            self.writer.arrays[f"{name}.{key}"] = np.ascontiguousarray(array, np.float32)
        return f"self.{name}"

    def give(self, *expressions: str) -> None:
        """Write the assignments of the layer's outputs."""
        for name, expression in zip(self.node.outputs, expressions, strict=True):
            self.writer.lines.append(f"{self.writer.value(name)} = {expression}")

    def give_all(self, expression: str) -> None:
        """Write the assignment of all outputs by one expression."""
        names = ", ".join(self.writer.value(name) for name in self.node.outputs)
        self.writer.lines.append(f"{names} = {expression}")

    def need(self, helper: str) -> None:
        """Let the text have a class or function of netc.export.torch.helpers."""
        self.writer.helpers.add(helper)

    def refused(self, why: str) -> NetcError:
        """A ``not-torch`` error for the layer; to be raised by the caller."""
        message = f"layer `{self.node.name}` ({self.node.op}) cannot be written for PyTorch: {why}"
        return NetcError(Diagnostic("not-torch", message, self.node.span))
