"""Layers of the plain net: uses of layer types, and ``layer { }`` blocks with scoped names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from netc.diagnostics import NetcError, Span
from netc.language.fields import FieldExpander, scalar, string_field
from netc.language.frame import Frame
from netc.language.hints import LAYERS
from netc.language.limits import MAX_LAYERS
from netc.language.placement import FieldFinder, FieldPlacement
from netc.language.shorts import BASES, IN_PLACE, SHORTS, EnumWord, Short
from netc.language.tree import Argument, Body, CallStep, FieldOf, Name, whole
from netc.language.values import BlobRef, Value, kind
from netc.syntax.ast import Block, Field, Scalar

_RULES = ("include", "exclude")


@dataclass
class _Use:
    """A use of a layer type while its arguments are read.

    Attributes:
        own: fields of the layer itself, behind its tops.
        inner: the type's messages with their fields.
        given: the names of the fields that were given.
        tops: names given with ``top``.
        in_place: what ``in_place`` says.
    """

    type: str
    own: list[Field] = field(default_factory=list)
    inner: dict[str, list[Field]] = field(default_factory=dict)
    given: dict[str, Value] = field(default_factory=dict)
    tops: list[str] | None = None
    in_place: bool | None = None


class LayerExpander:
    """Makes layers of the plain net.

    Args:
        fields: expands their fields.

    Attributes:
        out: the fields of the plain net so far.
        names: of its layers and blobs.
    """

    def __init__(self, fields: FieldExpander) -> None:
        self.fields = fields
        self.evaluator = fields.evaluator
        self.names = fields.evaluator.names
        layer = fields.net.fields["layer"].message
        assert layer is not None
        self.placement = FieldFinder(layer)
        self.out: list[Field] = []
        self.count = 0

    # uses

    def use_layer(
        self, step: CallStep, short: Short, bottoms: list[BlobRef], owned: bool, frame: Frame
    ) -> Value:
        """Add the layer of a step; returns its top, or a list of them.

        ``owned``: the chain itself made the bottoms, so that the layer may work in place.
        """
        use = _Use(short.type)
        self._read_arguments(use, step, short, frame)
        label, span = self._label(step, short, frame)
        if use.in_place is None:
            use.in_place = owned and self._may_overwrite(use, bottoms)
        tops = self._tops(use, step, label, bottoms, frame)
        fields = [
            string_field("name", frame.scope + label, span),
            string_field("type", short.type, frame.place(step.name_span)),
            *(string_field("bottom", b.name, frame.place(step.span)) for b in bottoms),
            *(string_field("top", b.name, frame.place(step.span)) for b in tops),
            *use.own,
            *(_message(name, inner, frame.place(step.span)) for name, inner in use.inner.items()),
        ]
        self.names.read.update(b.name for b in bottoms if b not in tops)
        self.emit_layer(fields, frame.scope + label, step.name_span, step.span, frame)
        return tops[0] if len(tops) == 1 else tops

    def _label(self, step: CallStep, short: Short, frame: Frame) -> tuple[str, Span]:
        """The layer's name where the frame is, and its place."""
        if step.label is None:
            base = step.name if step.name in SHORTS else BASES.get(short.type, short.type.lower())
            return self.names.automatic(base, frame), frame.place(step.name_span)
        return self.label_text(step, frame), frame.place(step.label.span)

    def label_text(self, step: CallStep, frame: Frame) -> str:
        """The name behind a step's ``as``; empty where there is none.

        Raises:
            NetcError: unknown-name, or expression for a value that is no name.
        """
        if step.label is None:
            return ""
        span = step.label.span
        if isinstance(step.label, Name) and frame.find(step.label.name) is None:
            name = step.label.name
            message = f"nothing here has the name `{name}`"
            help = f'a layer\'s name stands in quotes: `as "{name}"`'
            raise frame.error("unknown-name", message, span, help)
        value = self.evaluator.evaluate(step.label, frame)
        if not isinstance(value, str) or not value:
            message = f"a name is a string that is not empty, not {kind(value)}"
            if value == "":
                message = "a name is not empty"
            raise frame.error("expression", message, span)
        return value

    def _may_overwrite(self, use: _Use, bottoms: list[BlobRef]) -> bool:
        if use.type not in IN_PLACE or len(bottoms) != 1 or use.tops is not None:
            return False
        return bottoms[0].name not in self.names.read

    def _tops(
        self, use: _Use, step: CallStep, label: str, bottoms: list[BlobRef], frame: Frame
    ) -> list[BlobRef]:
        if use.in_place:
            if len(bottoms) != 1 or use.tops is not None:
                message = "a layer in place has one bottom and no `top`"
                raise frame.error("expression", message, step.span)
            self.evaluator.rewrites[bottoms[0]] += 1
            return list(bottoms)
        wanted = [label] if use.tops is None else use.tops
        return [self.names.make(name, frame) for name in wanted]

    # arguments

    def _read_arguments(self, use: _Use, step: CallStep, short: Short, frame: Frame) -> None:
        named = {a.name for a in step.arguments} | set(short.values[: _positional(step)])
        for name, value in short.preset:
            if name not in named:
                span = frame.place(step.name_span)
                self._give(use, name, value, span, span, frame)
        values = iter(short.values)
        for argument in step.arguments:
            name = argument.name or next(values, "")
            try:
                if not name:
                    raise self._too_many(step, short, argument, frame)
                self._argument(use, name, argument, frame)
            except NetcError as error:
                self.evaluator.faults.note(error)
        if short.square and "kernel_size" in use.given and not _STRIDES & use.given.keys():
            span = frame.place(step.name_span)
            self._give(use, "stride", use.given["kernel_size"], span, span, frame)

    def _too_many(
        self, step: CallStep, short: Short, argument: Argument, frame: Frame
    ) -> NetcError:
        help = f"give it by name: `{step.name}(field: value)`"
        if not short.values:
            message = f"`{step.name}` takes no values without a name"
            known = _short_form(step.name)
            help = f"the short form does: `{known}(...)`" if known else help
        else:
            listed = ", ".join(f"`{name}`" for name in short.values)
            message = f"`{step.name}` takes at most {len(short.values)} values in order: {listed}"
        return frame.error("too-many-values", message, argument.span, help)

    def _argument(self, use: _Use, name: str, argument: Argument, frame: Frame) -> None:
        """One field of a use."""
        span = frame.place(argument.span)
        if name in use.given and not self._may_repeat(use, name):
            raise frame.error("repeated-field", f"`{name}` is given twice", argument.span)
        if isinstance(argument.value, Body):
            placed = self._placed(use, name, argument, frame)
            inner = self.fields.fields_of(argument.value, placed.field.message, frame)
            block = Block(tuple(inner), frame.place(argument.value.span))
            use.given[name] = True
            self._put(use, placed, [Field(name, block, span)])
            return
        if name == "in_place" or name == "top":
            self._special(use, name, argument, frame)
            return
        placed = self._placed(use, name, argument, frame)
        value: Value | EnumWord
        expression = argument.value
        enum = placed.field.kind == "enum"
        if enum and isinstance(expression, Name) and frame.find(expression.name) is None:
            value = EnumWord(expression.name)
        else:
            value = self.evaluator.evaluate(expression, frame)
        self._give(use, name, value, span, frame.place(whole(expression)), frame)

    def _special(self, use: _Use, name: str, argument: Argument, frame: Frame) -> None:
        assert not isinstance(argument.value, Body)
        value = self.evaluator.evaluate(argument.value, frame)
        span = argument.value.span
        if name == "in_place":
            if not isinstance(value, bool):
                message = f"`in_place` is true or false, not {kind(value)}"
                raise frame.error("expression", message, span)
            use.in_place = value
            return
        tops = value if isinstance(value, list) else [value]
        if not all(isinstance(top, str) and top for top in tops):
            raise frame.error("expression", "`top` is a name or a list of names", span)
        use.tops = tops

    def _may_repeat(self, use: _Use, name: str) -> bool:
        placed = self.placement.find(use.type, name)
        return placed is not None and (placed.field.repeated or placed.field.several)

    def _placed(self, use: _Use, name: str, argument: Argument, frame: Frame) -> FieldPlacement:
        """Where a field stands.

        Raises:
            NetcError: unknown-field.
        """
        placed = self.placement.find(use.type, name)
        if name in _BY_SYNTAX and not (placed and placed.message):
            raise frame.error("unknown-field", _BY_SYNTAX[name], argument.span)
        if placed is None:
            message = f"`{use.type}` has no field `{name}`"
            help = self.placement.help(use.type, name)
            raise frame.error("unknown-field", message, argument.span, *help)
        return placed

    def _give(
        self, use: _Use, name: str, value: Value | EnumWord, span: Span, place: Span, frame: Frame
    ) -> None:
        placed = self.placement.find(use.type, name)
        assert placed is not None  # presets are fields; others were looked up
        use.given[name] = value
        self._put(use, placed, self.fields.given(name, span, value, place, placed.field, frame))

    def _put(self, use: _Use, placed: FieldPlacement, fields: list[Field]) -> None:
        target = use.inner.setdefault(placed.message, []) if placed.message else use.own
        target.extend(fields)

    # the plain net

    def emit_layer(
        self, fields: Sequence[Field], name: str, span: Span, whole: Span, frame: Frame
    ) -> None:
        """Add a layer that a use made; ``name`` is its name with its scope.

        Raises:
            NetcError: duplicate-name or too-many-layers.
        """
        fields = self.in_phase(fields, span, frame)
        ruled = any(f.name in _RULES for f in fields)
        self.names.add_layer(name, frame.place(span), frame, ruled=ruled)
        block = Block(tuple(fields), frame.place(whole))
        self.emit(Field("layer", block, frame.place(span)), frame)

    def emit(self, made: Field, frame: Frame) -> None:
        """Add a field to the plain net.

        Raises:
            NetcError: too-many-layers, beyond ``MAX_LAYERS``.
        """
        self.out.append(made)
        self.count += 1
        self.evaluator.spend(frame, made.span)
        if self.count > MAX_LAYERS:
            message = f"the net has more than {MAX_LAYERS:,} layers"
            raise frame.error("too-many-layers", message, made.span)

    def in_phase(self, fields: Sequence[Field], span: Span, frame: Frame) -> list[Field]:
        """A layer's fields, with a rule for the ``phase`` block around it.

        Raises:
            NetcError: phase, where the layer has rules of its own.
        """
        if not frame.phase:
            return list(fields)
        if any(f.name in _RULES for f in fields):
            message = f"a layer in `phase {frame.phase}` has no `include` or `exclude` of its own"
            raise frame.error("phase", message, span)
        place = frame.place(span)
        rule = Field("phase", Scalar("identifier", frame.phase, place), place)
        include = Field("include", Block((rule,), place), place)
        at = max((i for i, f in enumerate(fields) if f.name in _HEAD), default=-1) + 1
        return [*fields[:at], include, *fields[at:]]

    def plain_layer(self, statement: FieldOf, frame: Frame) -> None:
        """Add a ``layer { }`` block, with its names scoped."""
        made = self.fields.plain(statement, self.fields.net, frame)
        for each in made:
            if not isinstance(each.value, Block):
                self.emit(each, frame)  # a mistake, which binding tells
                continue
            fields = self.in_phase(self._scoped(each.value.fields, frame), statement.span, frame)
            self._note(fields, statement.span, frame)
            self.emit(each._replace(value=each.value._replace(fields=tuple(fields))), frame)

    def _note(self, fields: Sequence[Field], span: Span, frame: Frame) -> None:
        name = next((_string(f) for f in fields if f.name == "name"), "")
        if name:
            ruled = any(f.name in _RULES for f in fields)
            free = frame.file is None
            self.names.add_layer(name, frame.place(span), frame, ruled=ruled, free=free)

    def _scoped(self, fields: Sequence[Field], frame: Frame) -> list[Field]:
        """A plain layer's fields with whole names, its tops made known."""
        bottoms = {
            _string(f): self._bottom(_string(f), frame) for f in fields if f.name == "bottom"
        }
        tops: dict[str, BlobRef] = {}
        for text in filter(None, (_string(f) for f in fields if f.name == "top")):
            tops[text] = bottoms.get(text) or self.names.make(text, frame)
        kept = set(tops.values())
        self.names.read.update(b.name for b in bottoms.values() if b not in kept)
        frame.prev = _one(list(tops.values())) if tops else frame.prev
        return [self._renamed(f, {"bottom": bottoms, "top": tops}, frame) for f in fields]

    def _bottom(self, text: str, frame: Frame) -> BlobRef:
        return self.names.find(text, frame) or BlobRef(frame.scope + text)

    def _renamed(self, f: Field, blobs: dict[str, dict[str, BlobRef]], frame: Frame) -> Field:
        if not frame.scope and frame.file is None and f.name not in blobs:
            return f
        if f.name == "layer" and isinstance(f.value, Block):  # of the V0 format
            inner = tuple(self._renamed(g, blobs, frame) for g in f.value.fields)
            return f._replace(value=f.value._replace(fields=inner))
        text = _string(f)
        if not text or not isinstance(f.value, Scalar):
            return f
        if f.name in blobs:
            return f._replace(value=scalar(blobs[f.name][text], f.value.span, None))
        if f.name == "name":
            return f._replace(value=scalar(frame.scope + text, f.value.span, None))
        return f


def _short_form(type: str) -> str:
    """The short form of a layer type that is called so here or elsewhere; empty without one."""
    small = type.lower()
    name = BASES.get(type) or (small if small in SHORTS else LAYERS.get(small, ""))
    return name if type not in SHORTS and name in SHORTS and SHORTS[name].values else ""


_HEAD = ("name", "type", "bottom", "top")
_STRIDES = {"stride", "stride_h", "stride_w", "global_pooling"}
_BY_SYNTAX = {
    "name": 'a layer\'s name stands behind `as`: `conv(64) as "conv1"`',
    "bottom": "a layer's bottoms stand left of the arrow",
    "type": "a layer's type stands before the parentheses",
}


def _message(name: str, fields: list[Field], span: Span) -> Field:
    return Field(name, Block(tuple(fields), span), span)


def _positional(step: CallStep) -> int:
    return sum(not argument.name for argument in step.arguments)


def _string(f: Field) -> str:
    value = f.value.value if isinstance(f.value, Scalar) else b""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""


def _one(values: list[BlobRef]) -> Value:
    return values[0] if len(values) == 1 else values
