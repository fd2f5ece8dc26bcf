"""Uses of modules: arguments to parameters, blobs to inputs, and outputs back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from netc.diagnostics import NetcError, Note, did_you_mean
from netc.language.frame import Frame
from netc.language.hints import LAYERS
from netc.language.layers import LayerExpander
from netc.language.limits import MAX_USES, MODULE_STEPS
from netc.language.lost import BLOB, lost_outputs
from netc.language.operators import FUNCTIONS, apply, bounds
from netc.language.parameters import declared_type
from netc.language.shorts import SHORTS, Short
from netc.language.tree import (
    Argument,
    Binary,
    Body,
    CallStep,
    Expression,
    ModuleDefinition,
    Name,
    ParameterDeclaration,
    Statement,
    whole,
)
from netc.language.values import BlobRef, Value, conform, division_help, is_number, kind, shown


class ModuleExpander:
    """Uses of layer types and modules.

    Args:
        layers: makes the layers.
        modules: by name.
        run_all: runs the statements of a module's body.
    """

    def __init__(
        self,
        layers: LayerExpander,
        modules: Mapping[str, ModuleDefinition],
        run_all: Callable[[Sequence[Statement], Frame], None],
    ) -> None:
        self.layers = layers
        self.evaluator = layers.evaluator
        self.modules = modules
        self.run_all = run_all

    def is_type(self, name: str) -> bool:
        """Whether a name is a module, a short form or a layer type."""
        return name in self.modules or name in SHORTS or name[0].isupper()

    def use(self, step: CallStep, bottoms: list[BlobRef], owned: bool, frame: Frame) -> Value:
        """Make the layer or module of a step; returns its tops or outputs.

        Raises:
            NetcError: unknown-module, where it is neither; the errors of its arguments.
        """
        self.evaluator.spend(frame, step.span, 1 + len(bottoms) // 8)
        module = self.modules.get(step.name)
        if module:
            self.evaluator.spend(frame, step.span, MODULE_STEPS - 1)
            return self._use_module(step, module, bottoms, frame)
        short = SHORTS.get(step.name)
        if short is None and not step.name[0].isupper():
            raise self._unknown_step(step, frame)
        return self.layers.use_layer(step, short or Short(step.name), bottoms, owned, frame)

    def lost_use(self, step: CallStep, frame: Frame) -> Value:
        """The value of a step that failed, which causes no further errors."""
        module = self.modules.get(step.name)
        if module:
            return lost_outputs(len(module.outputs))
        try:
            label = self.layers.label_text(step, frame)
        except NetcError:
            label = ""
        return self.evaluator.names.make(label, frame) if label else BLOB

    def _unknown_step(self, step: CallStep, frame: Frame) -> NetcError:
        help = did_you_mean(step.name, [*self.modules, *SHORTS, *FUNCTIONS])
        if step.name.lower() in LAYERS:
            help = (f"did you mean `{LAYERS[step.name.lower()]}`?",)
        if not help:
            help = ("a layer type is written as Caffe writes it: `Pooling`",)
        message = f"there is no module or short form `{step.name}`"
        return frame.error("unknown-module", message, step.name_span, *help)

    def _use_module(
        self, step: CallStep, module: ModuleDefinition, bottoms: list[BlobRef], frame: Frame
    ) -> Value:
        inner = frame.inner(self.layers.label_text(step, frame), step.span)
        if inner.depth > MAX_USES:
            message = f"modules are used within each other deeper than {MAX_USES}"
            help = "a module that uses itself ends in an `if`"
            raise frame.error("too-deep", message, step.name_span, help)
        given = self._given(step, module, frame)
        self._inputs(step, module, given, bottoms, inner, frame)
        for declared in module.parameters:
            inner.values[declared.name] = self._parameter(declared, step, given, inner, frame)
        blobs = [inner.values[name.name] for name in module.inputs]
        inner.prev = (blobs[0] if len(blobs) == 1 else blobs) if blobs else None
        raised = self.evaluator.faults.raised
        self.run_all(module.body.statements, inner)
        if self.evaluator.faults.raised > raised:
            return lost_outputs(len(module.outputs))
        outputs = [self._output(name, module, inner) for name in module.outputs]
        return outputs[0] if len(outputs) == 1 else outputs

    def _given(self, step: CallStep, module: ModuleDefinition, frame: Frame) -> dict[str, Argument]:
        """The use's arguments by the names of what they are given to."""
        order = iter(module.parameters)
        found: dict[str, Argument] = {}
        known = [p.name for p in module.parameters] + [n.name for n in module.inputs]
        for argument in step.arguments:
            following = None if argument.name else next(order, None)
            name = argument.name or (following.name if following else "")
            if name not in known:
                raise self._no_parameter(module, name, argument, frame)
            if name in found:
                message = f"`{name}` is given twice"
                raise frame.error("repeated-field", message, argument.span)
            found[name] = argument
        return found

    def _no_parameter(
        self, module: ModuleDefinition, name: str, argument: Argument, frame: Frame
    ) -> NetcError:
        note = (Note(f"`{module.name}` is defined here", module.span),)
        known = [p.name for p in module.parameters]
        if name:
            message = f"module `{module.name}` has no parameter `{name}`"
            help = did_you_mean(name, known)
            return frame.error("unknown-name", message, argument.span, *help, notes=note)
        listed = ", ".join(f"`{k}`" for k in known) or "none"
        message = f"module `{module.name}` has {len(known)} parameters: {listed}"
        return frame.error("too-many-values", message, argument.span, notes=note)

    # parameters

    def _parameter(
        self,
        declared: ParameterDeclaration,
        step: CallStep,
        given: dict[str, Argument],
        inner: Frame,
        frame: Frame,
    ) -> Value:
        """A parameter's value in a use."""
        argument = given.get(declared.name)
        if argument is None:
            if declared.default is None:
                message = f"`{step.name}` needs a value for `{declared.name}`"
                note = (Note("the parameter is here", declared.span),)
                raise frame.error("missing-value", message, step.name_span, notes=note)
            return self.default(declared, inner)
        if isinstance(argument.value, Body):
            message = f"`{declared.name}` takes a value, not a block"
            raise frame.error("expression", message, argument.span)
        value = self.evaluator.evaluate(argument.value, frame)
        error = self.unfit(declared, value, inner)
        if error:
            note = (Note("the parameter is here", declared.span),)
            place = whole(argument.value)
            help = self._divided(declared, value, place.text)
            raise frame.error("wrong-kind", error, place, *help, notes=note)
        return conform(value, declared_type(declared))

    def default(self, declared: ParameterDeclaration, frame: Frame) -> Value:
        """A parameter's default; it may use the parameters before it.

        Raises:
            NetcError: wrong-kind.
        """
        assert declared.default is not None
        value = self.evaluator.evaluate(declared.default, frame)
        error = self.unfit(declared, value, frame)
        if error:
            place = whole(declared.default)
            help = self._divided(declared, value, place.text)
            raise frame.error("wrong-kind", error, place, *help)
        return conform(value, declared_type(declared))

    def _divided(self, declared: ParameterDeclaration, value: Value, text: str) -> tuple[str, ...]:
        misfit = conform(value, declared_type(declared)) is None
        return division_help(value, text) if misfit else ()

    def unfit(self, declared: ParameterDeclaration, value: Value, frame: Frame) -> str:
        """Why a value does not fit a parameter, in words for a message; empty where it does."""
        type = declared_type(declared)
        fitting = conform(value, type)
        if fitting is None:
            return f"`{declared.name}` takes {type}, and this is {kind(value)}, `{shown(value)}`"
        if declared.among is None or self._is_among(fitting, declared.among, frame):
            return ""
        allowed = whole(declared.among).text
        return f"`{declared.name}` is in {allowed}, and this is `{shown(value)}`"

    def _is_among(self, value: Value, among: Expression, frame: Frame) -> bool:
        if isinstance(among, Binary) and among.operator in ("..", "..="):
            low, high = (
                self.evaluator.evaluate(among.left, frame),
                self.evaluator.evaluate(among.right, frame),
            )
            if not all(map(is_number, (low, high, value))):
                self.evaluator.guard(frame, among.span, bounds, low, high, among.operator)
                return False
            return bool(
                low <= value and (value <= high if among.operator == "..=" else value < high)
            )
        known = self.evaluator.evaluate(among, frame)
        if not isinstance(known, list):
            message = f"the values allowed are a list or a range, not {kind(known)}"
            raise frame.error("expression", message, among.span)
        return bool(self.evaluator.guard(frame, among.span, apply, "in", value, known))

    # inputs and outputs

    def _inputs(
        self,
        step: CallStep,
        module: ModuleDefinition,
        given: dict[str, Argument],
        bottoms: list[BlobRef],
        inner: Frame,
        frame: Frame,
    ) -> None:
        """Give a module's inputs their blobs."""
        waiting = list(bottoms)
        open_ = [name for name in module.inputs if name.name not in given]
        for name in module.inputs:
            if name.name in given:
                inner.values[name.name] = self._named_input(given[name.name], frame)
            elif module.rest and name is module.inputs[-1]:
                inner.values[name.name], waiting = waiting, []
            elif waiting:
                inner.values[name.name] = waiting.pop(0)
        if waiting or any(name.name not in inner.values for name in module.inputs):
            raise self._input_count(step, module, open_, bottoms, frame)

    def _named_input(self, argument: Argument, frame: Frame) -> Value:
        if isinstance(argument.value, Body):
            raise frame.error("expression", "an input takes a blob, not a block", argument.span)
        value = self.evaluator.evaluate(argument.value, frame)
        items = self.evaluator.flattened(value, frame, argument.span)
        blobs = [self.evaluator.known_blob(v, frame) if isinstance(v, str) else v for v in items]
        if not all(isinstance(blob, BlobRef) for blob in blobs):
            message = f"input `{argument.name}` takes a blob, not {kind(value)}"
            raise frame.error("wrong-kind", message, argument.value.span)
        return blobs if isinstance(value, list) else blobs[0]

    def _input_count(
        self,
        step: CallStep,
        module: ModuleDefinition,
        wanted: list[Name],
        bottoms: list[BlobRef],
        frame: Frame,
    ) -> NetcError:
        listed = ", ".join(f"`{name.name}`" for name in wanted)
        least = "at least " if module.rest else ""
        takes = f"takes {least}{len(wanted) - module.rest} blobs" + (
            f" ({listed})" if listed else ""
        )
        message = f"module `{module.name}` {takes}, and {len(bottoms)} come to it"
        note = (Note("its inputs are here", module.span),)
        return frame.error("bottom-count", message, step.name_span, notes=note)

    def _output(self, name: Name, module: ModuleDefinition, inner: Frame) -> Value:
        """What a module gives back under a name."""
        value = inner.values.get(name.name, inner.made.get(name.name))
        if value is None:
            message = f"module `{module.name}` gives its output `{name.name}` no blob"
            help = f"write `{name.name} = ...` in it, or name a layer so"
            raise inner.error("missing-output", message, name.span, help)
        if not all(
            isinstance(v, BlobRef) for v in self.evaluator.flattened(value, inner, name.span)
        ):
            message = f"the output `{name.name}` is {kind(value)}, not a blob"
            raise inner.error("wrong-kind", message, name.span)
        return value
