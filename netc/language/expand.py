"""Expansion of a text of the dialect to the plain Document that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netc.diagnostics import NetcError
from netc.language.evaluate import Evaluator
from netc.language.fields import FieldExpander
from netc.language.frame import Frame
from netc.language.include import Gathered, gather
from netc.language.inputs import input_fields
from netc.language.layers import LayerExpander
from netc.language.lost import BLOB, LOST, Faults
from netc.language.modules import ModuleExpander
from netc.language.operators import FUNCTIONS
from netc.language.parameters import check_names, given_value
from netc.language.tree import (
    Assign,
    Body,
    CallStep,
    ChainStatement,
    Expect,
    FieldOf,
    FieldValue,
    If,
    Include,
    Input,
    Let,
    ModuleDefinition,
    ParameterDeclaration,
    PhaseBlock,
    Repeat,
    Shape,
    SourceProgram,
    Statement,
    TextLiteral,
)
from netc.language.values import DIVISION, BlobRef, is_int, kind
from netc.migrate.generations import bind_net
from netc.schema.message import MessageType
from netc.syntax.ast import Block, Document, Field, Scalar

LAYERS = ("layer", "layers")


def expand(
    program: SourceProgram, net: MessageType, define: Mapping[str, object], folder: Path | None
) -> Document:
    """The plain document that a program stands for.

    Args:
        program: the text's tree.
        net: the message type of the whole text.
        define: values of parameters, as text (``-D``) or as Python values.
        folder: the net's own, for ``include``; None where the text is from no file.

    Raises:
        NetcError: with every error found, those of fields that binding finds among them.
    """
    gathered = gather(program, folder)
    check_names(define, gathered.parameters)
    expansion = Expansion(net, gathered, define)
    expansion.run()
    document = Document(program.source, tuple(expansion.layers.out))
    if expansion.evaluator.faults.found:
        _note_fields(document, net, expansion.evaluator.faults)
        expansion.evaluator.faults.check()
    return document


def _note_fields(document: Document, net: MessageType, faults: Faults) -> None:
    """Add what binding finds wrong with what could be expanded."""
    try:
        bind_net(document, net)
    except NetcError as error:
        faults.note(error)


class Expansion:
    """Runs a program's statements.

    Attributes:
        evaluator: evaluates expressions, and counts steps.
        fields: expands fields.
        layers: makes layers of the plain net.
        modules: uses modules, whose bodies run here.
    """

    def __init__(self, net: MessageType, gathered: Gathered, define: Mapping[str, object]) -> None:
        self.gathered = gathered
        self.evaluator = Evaluator(gathered.parameters)
        self.fields = FieldExpander(self.evaluator, net)
        self.layers = LayerExpander(self.fields)
        self.modules = ModuleExpander(self.layers, gathered.modules, self.run_all)
        self.evaluator.uses = self.modules
        self.define = define
        self._handlers: dict[type, Callable[[Any, Frame], None]] = {
            FieldOf: self.field_statement,
            ParameterDeclaration: self.declare,
            Assign: self.assign,
            PhaseBlock: self.phase,
            Input: self.input,
            Expect: self.expect,
            ChainStatement: self.chain_statement,
            ModuleDefinition: lambda statement, frame: None,
            Include: lambda statement, frame: None,
        }

    def run(self) -> None:
        """Run all statements of the text and of the files it includes."""
        frame = Frame()
        for statement, used_at in self.gathered.statements:
            frame.used_at = used_at
            self.run_all((statement,), frame)

    def run_all(self, statements: Sequence[Statement], frame: Frame) -> None:
        """Run statements in order; a failed one's error is collected, and the next one runs."""
        for statement in statements:
            phase = frame.phase
            try:
                self._run(statement, frame)
            except NetcError as error:
                self.evaluator.faults.note(error)
                self._lose(statement, frame)
                frame.phase = phase

    def _run(self, statement: Statement, frame: Frame) -> None:
        if isinstance(statement, (If, Repeat, Let)):
            for body in self.fields.control(statement, frame):
                self.run_all(body.statements, frame)
        else:
            self._handlers[type(statement)](statement, frame)

    def _lose(self, statement: Statement, frame: Frame) -> None:
        """Give the names of a statement that failed values that make no further complaint."""
        if isinstance(statement, (Let, ParameterDeclaration)):
            name = statement.name if isinstance(statement.name, str) else statement.name.name
            frame.values[name] = LOST
        elif isinstance(statement, Assign):
            frame.values.update({target.name: BLOB for target in statement.targets})
        elif isinstance(statement, Input):
            self._lose_blob(statement.name, frame)
        elif isinstance(statement, FieldOf) and isinstance(statement.value, Body):
            for field in statement.value.statements:
                if isinstance(field, FieldOf) and field.name == "top":
                    self._lose_blob(field.value, frame)
        if isinstance(statement, (Assign, ChainStatement, FieldOf, Input)):
            frame.prev = BLOB

    def _lose_blob(self, name: FieldValue, frame: Frame) -> None:
        """Make a blob known whose layer could not be made."""
        if isinstance(name, TextLiteral) and all(isinstance(part, str) for part in name.parts):
            self.evaluator.names.make("".join(map(str, name.parts)), frame)

    def declare(self, declared: ParameterDeclaration, frame: Frame) -> None:
        """Give a parameter of the file its value: the defined one, or its default.

        Raises:
            NetcError: missing-value, where there is neither; wrong-kind.
        """
        name = declared.name
        if name in self.define:
            value = given_value(declared, self.define[name])
            error = self.modules.unfit(declared, value, frame)
            if error:
                raise frame.error("wrong-kind", error, declared.span)
            frame.values[name] = value
        elif declared.default is None:
            message = f"the parameter `{name}` has no value"
            raise frame.error("missing-value", message, declared.span, f"give it: -D {name}=...")
        else:
            frame.values[name] = self.modules.default(declared, frame)

    def assign(self, statement: Assign, frame: Frame) -> None:
        """Run `a, b = chain`, which names the chain's blobs.

        Raises:
            NetcError: expression, for another number of blobs; wrong-kind, for values that are
                none.
        """
        names = [target.name for target in statement.targets]
        span = statement.targets[0].span
        value = self.evaluator.evaluate(statement.value, frame)
        if isinstance(value, str):
            value = self.evaluator.known_blob(value, frame) or value
        values = [value] if len(names) == 1 else value
        if not isinstance(values, list) or len(values) != len(names):
            count = len(value) if isinstance(value, list) else 1
            come = "1 blob comes" if count == 1 else f"{count} blobs come"
            message = f"{len(names)} names are given, and {come}"
            help = 'a layer with several tops says so: `Slice(top: ["a", "b"])`'
            raise frame.error("expression", message, span, *([help] if count == 1 else []))
        for blob in self.evaluator.flattened(value, frame, span):
            if not isinstance(blob, BlobRef):
                message = f"`{names[0]} = ...` names a blob, and this is {kind(blob)}"
                raise frame.error("wrong-kind", message, span, f"write `let {names[0]} = ...`")
        frame.values.update(zip(names, values, strict=True))
        frame.prev = value

    def chain_statement(self, statement: ChainStatement, frame: Frame) -> None:
        """Run a chain that stands by itself.

        Raises:
            NetcError: syntax, for a function call, whose value nothing would use.
        """
        value = self.evaluator.evaluate(statement.chain, frame)
        if isinstance(statement.chain, CallStep) and statement.chain.name in FUNCTIONS:
            message = "a value alone does nothing"
            raise frame.error("syntax", message, statement.chain.span)
        frame.prev = value

    def phase(self, statement: PhaseBlock, frame: Frame) -> None:
        """Run `phase TRAIN { ... }`, whose layers get a rule for the phase.

        Raises:
            NetcError: phase, within a block of the other phase.
        """
        wanted, outer = statement.phase.name, frame.phase
        if outer and outer != wanted:
            message = f"`phase {wanted}` stands in `phase {outer}`: no layer is in both"
            raise frame.error("phase", message, statement.phase.span)
        frame.phase = wanted
        self.run_all(statement.body.statements, frame)
        frame.phase = outer

    def field_statement(self, statement: FieldOf, frame: Frame) -> None:
        """Expand a field of prototxt: a layer, or a field of the net itself.

        Raises:
            NetcError: syntax, for a field of the net within a module.
        """
        if statement.name in LAYERS:
            self.layers.plain_layer(statement, frame)
            return
        if frame.file is not None:
            message = f"only layers stand in a module, not `{statement.name}`"
            raise frame.error("syntax", message, statement.span)
        for made in self.fields.plain(statement, self.fields.net, frame):
            self.layers.emit(made, frame)
            if made.name == "input" and isinstance(made.value, Scalar):
                text = made.value.value
                if isinstance(text, bytes):
                    frame.prev = self.evaluator.names.make(
                        text.decode("utf-8", "surrogateescape"), frame
                    )

    def input(self, statement: Input, frame: Frame) -> None:
        """Run `input data: [1, 3, 224, 224] { ... }`, which makes an Input layer."""
        name = self.evaluator.text(statement.name, frame)
        sizes = self.sizes(statement.shape, frame)
        blob = self.evaluator.names.make(name, frame)
        fields = input_fields(self.fields, statement, blob, sizes, frame)
        self.layers.emit_layer(fields, frame.scope + name, statement.span, statement.span, frame)
        if None in sizes:
            self._expected(blob, sizes, statement.shape, frame)
        frame.prev = blob

    def sizes(self, shape: Shape, frame: Frame) -> list[int | None]:
        """The sizes of a shape; None for `_`.

        Raises:
            NetcError: expression, for one that is no int from 0 to 2^31 - 1.
        """
        found: list[int | None] = []
        for size in shape.sizes:
            if size is None:
                found.append(None)
                continue
            value = self.evaluator.evaluate(size, frame)
            if not is_int(value) or not 0 <= value < 2**31:
                message = f"a size is an int from 0 to {2**31 - 1:,}, or `_`"
                help = (DIVISION,) if isinstance(value, float) else ()
                raise frame.error("expression", message, size.span, *help)
            found.append(value)
        return found

    def expect(self, statement: Expect, frame: Frame) -> None:
        """Run `expect conv1: [1, 96, 55, 55]`: the shape is compared after shape inference.

        Raises:
            NetcError: unknown-name, where there is no such blob.
        """
        value = self.evaluator.evaluate(statement.blob, frame)
        blob = self.evaluator.known_blob(value, frame) if isinstance(value, str) else value
        if not isinstance(blob, BlobRef):
            shown = f"`{value}`" if isinstance(value, str) else kind(value)
            message = f"`expect` takes a blob, and {shown} is none"
            raise frame.error("unknown-name", message, statement.blob.span)
        self._expected(blob, self.sizes(statement.shape, frame), statement.shape, frame)

    def _expected(
        self, blob: BlobRef, sizes: Sequence[int | None], shape: Shape, frame: Frame
    ) -> None:
        place = frame.place(shape.span)
        name = Field("blob", Scalar("string", blob.name.encode(), place), place)
        dims = (
            Field("dim", Scalar("integer", -1 if size is None else size, place), place)
            for size in sizes
        )
        block = Block((name, *dims), place)
        self.layers.emit(Field("expected_shape", block, place), frame)
