"""Nodes whose inputs do not depend on what is fed are worked out once.

Before::

    p = Parameter(); q = Power(p); y = Scale(x, q); b = PriorBox(conv4, data)

After::

    y = Scale(x; q); b = Parameter()

A Parameter layer's array is a constant; so is all that is made of constants alone, or of its
inputs' shapes alone (PriorBox, ContinuationIndicator). A Scale or Bias by a constant owns it like
any other parameter. They are worked out by the ops' definitions. Variables are not worked out; a
Scale or Bias may own one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.diagnostics import NetcError
from netc.ir.draft import Draft
from netc.ir.graph import Array, Graph, Node
from netc.ir.types import Shape, count
from netc.ops.catalog import CATALOG, has_role
from netc.ops.inputs import ParameterParams
from netc.ops.role import Role
from netc.ops.scale_bias import OperandParams
from netc.passes.base import Log, Pass

_SMALL = 2**16  # elements that a constant may take whatever it is made of


def fold_constants(graph: Graph, log: Log) -> Graph:
    """Constants for the nodes that can only ever give one result."""
    draft = Draft(graph)
    for node in draft:
        if _is_constant(draft, node):
            _fold(draft, node, log)
        elif _has_constant_operand(draft, node):
            _own_operand(draft, node, log)
    return draft.result()


def _is_constant(draft: Draft, node: Node) -> bool:
    """True if what a node reads of its inputs is known, and it gives the same each time."""
    op = CATALOG[node.op]
    if len(node.outputs) != 1 or op.dynamic or not (node.inputs or op.reads == 0):
        return False
    if any(getattr(node.params, name, False) for name in ("train", "sample")):  # draws at random
        return False
    return all(_constant(draft, value) is not None for value in node.inputs[: op.reads])


def _constant(draft: Draft, value: str) -> str | None:
    """The parameter that a value is, None where it is none."""
    node = draft.producer(value)
    return node.parameters[0] if node is not None and has_role(node.op, Role.CONSTANT) else None


def _constants(draft: Draft, node: Node) -> tuple[str, ...]:
    """The parameters that a node reads as values."""
    read = node.inputs[: CATALOG[node.op].reads]
    return tuple(name for v in read if (name := _constant(draft, v)) is not None)


def _fold(draft: Draft, node: Node, log: Log) -> None:
    shape = draft.shape(node.outputs[0])
    own = sum(count(draft.shape(v)) for v in node.inputs)
    if draft.is_variable(*node.parameters, *_constants(draft, node)):
        log.missed("it is made of variables", node.name)
        return
    if count(shape) > max(_SMALL, 4 * own):
        log.missed(f"its {count(shape):,} elements are made of {own:,} constants", node.name)
        return
    try:
        array = _worked_out(draft, node)
    except NetcError as error:
        log.missed(error.diagnostics[0].message, node.name)
        return
    name = draft.fresh_parameter(f"{node.name}/constant", array)
    draft.put(node.name, _parameter_node(node, name, shape))
    for value in dict.fromkeys(node.inputs):
        _drop_unread(draft, value)
    log.applied(f"{node.op} gives the same each time", node.name)


def _worked_out(draft: Draft, node: Node) -> Array:
    inputs = [_known_or_shape(draft, value) for value in node.inputs]
    weights = [draft.array(name) for name in node.parameters]
    with np.errstate(all="ignore"):
        (result,) = CATALOG[node.op].reference(node.params, inputs, weights)
    return np.array(result, dtype=np.float32, order="C")


def _known_or_shape(draft: Draft, value: str) -> Array:
    """A constant's array; of an input that is read for its shape alone, zeros in that shape."""
    name = _constant(draft, value)
    if name is not None:
        return draft.array(name)
    return np.broadcast_to(np.float32(0), draft.shape(value))


def _parameter_node(node: Node, parameter: str, shape: Shape) -> Node:
    return Node(
        node.name,
        "Parameter",
        ParameterParams(shape),
        outputs=node.outputs,
        parameters=(parameter,),
        spans=node.spans,
    )


def _drop_unread(draft: Draft, value: str) -> None:
    """Take out a constant that nothing reads any more."""
    node = draft.producer(value)
    if node is not None and has_role(node.op, Role.CONSTANT):
        draft.remove_unneeded(node)


def _has_constant_operand(draft: Draft, node: Node) -> bool:
    if not has_role(node.op, Role.SCALE | Role.BIAS) or len(node.inputs) != 2:
        return False
    return _constant(draft, node.inputs[1]) is not None


def _own_operand(draft: Draft, node: Node, log: Log) -> None:
    """Make a constant second input of a Scale or Bias its own parameter."""
    value, operand = node.inputs
    name = _constant(draft, operand)
    assert name is not None
    params = replace(node.params_as(OperandParams), num_axes=len(draft.shape(operand)))
    parameters = (name, *node.parameters)
    draft.put(
        node.name,
        replace(node, inputs=(value,), params=params, parameters=parameters, param_specs=()),
    )
    _drop_unread(draft, operand)
    log.applied(f"the second input of {node.op} is a constant", node.name)


FOLD_CONSTANTS = Pass("fold-constants", fold_constants, exact=True)
