"""A net of items as a text of the dialect."""

from __future__ import annotations

from collections.abc import Sequence

from netc.language.collapse.loops import VALUE, Loop, loop_at
from netc.language.collapse.model import (
    CallForm,
    CollapsedNet,
    LayerForm,
    ModuleOf,
    NetItem,
    Ref,
    Template,
    TextForm,
    constant,
)
from netc.language.collapse.uses import COUNT, StepTexts, leaf_text, plain_layer_text, quoted
from netc.language.placement import FieldFinder
from netc.language.shorts import IN_PLACE

WIDTH = 98
_OUTPUT = "y"


def written(net: CollapsedNet, placement: FieldFinder, loops: bool) -> str:
    """The text of a net; with ``loops``, consecutive items that count become loops."""
    steps = StepTexts(net, placement)
    head = next((i for i, item in enumerate(net.main) if not _is_text(item)), len(net.main))
    lines = _row(net.main[:head], steps, loops, set())
    for module in reversed(net.modules):
        lines += ["", *_module(module, steps, loops)]
    names = {COUNT, VALUE}
    prev = net.main[head - 1].makes if head else ()
    lines += ["", *_row(net.main[head:], steps, loops, names, prev)]
    return "\n".join(lines).strip("\n") + "\n"


def _is_text(item: NetItem) -> bool:
    return isinstance(item.form, TextForm)


def _module(module: ModuleOf, steps: StepTexts, loops: bool) -> list[str]:
    declared = ", ".join(f"{p.name}: {p.type}" if p.type else p.name for p in module.parameters)
    inputs = ", ".join(module.inputs)
    inputs = f" {inputs}" if inputs else ""
    lines = _filled(f"module {module.name}(", declared.split(", "), ", ", "  ")
    lines[-1] += f"):{inputs} -> {_OUTPUT} {{"
    names = {p.name for p in module.parameters} | {COUNT, VALUE}
    body = _row(module.body, steps, loops, names, output=module.output)
    return [*lines, *(f"  {line}" for line in body), "}"]


def _filled(first: str, parts: Sequence[str], between: str, indent: str) -> list[str]:
    """Parts one behind the other, in as few lines as fit."""
    lines = [first]
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        text = part if last else part + between
        if len(lines[-1]) + len(text.rstrip()) > WIDTH and lines[-1].strip():
            lines[-1] = lines[-1].rstrip()
            lines.append(indent)
        lines[-1] += text
    return lines


def _row(
    items: Sequence[NetItem],
    steps: StepTexts,
    loops: bool,
    names: set[str],
    prev: tuple[Template, ...] = (),
    output: Template | None = None,
) -> list[str]:
    writer = _RowWriter(steps, names, prev, output)
    index = 0
    while index < len(items):
        loop = loop_at(items, index) if loops else None
        if loop and writer.can_loop(items[index]):
            writer.loop(loop)
            index += loop.times
        else:
            writer.add(items[index])
            index += 1
    return writer.end()


class _RowWriter:
    """Writes items as chains, one after the other.

    Attributes:
        prev: the blobs that came last.
        fresh: whether the chain at hand has made the blob it is at, by a layer.
        alone: whether the chain at hand starts with a layer that has no bottoms.
    """

    def __init__(
        self, steps: StepTexts, names: set[str], prev: tuple[Template, ...], output: Template | None
    ) -> None:
        self.steps = steps
        self.names = names
        self.prev = prev
        self.output = output
        self.fresh = False
        self.alone = False
        self.lines: list[str] = []
        self.head: str | None = None  # None: no chain is open
        self.chain: list[str] = []

    def add(self, item: NetItem) -> None:
        """Write an item."""
        if isinstance(item.form, TextForm):
            self._flush()
            self.lines += _joined(item.form.text)
        elif isinstance(item.form, LayerForm) and item.form.block:
            self._flush()
            self.lines.append(plain_layer_text(item))
        else:
            self._step(item)
        self.prev = item.makes or self.prev

    def _step(self, item: NetItem) -> None:
        goes_on = len(item.reads) == 1 and item.reads == self.prev
        if self.head is None or not goes_on:
            self._flush()
            self.head = "" if goes_on else self._blobs(item.reads)
            self.alone = not item.reads
            self.fresh = False
        first = not self.chain
        if isinstance(item.form, CallForm):
            self.chain.append(self.steps.call(item))
            self.fresh = False
        else:
            self.chain.append(self.steps.layer(item, self._in_place(item, first)))
            assert isinstance(item.form, LayerForm)
            self.fresh = self.fresh or (item.form.tops != (0,) and bool(item.makes))

    def _in_place(self, item: NetItem, first: bool) -> bool | None:
        """What must be said of a layer in place; None where the chain says it by itself."""
        assert isinstance(item.form, LayerForm)
        wanted = item.form.tops == (0,) and item.form.bottoms == 1
        if item.form.type not in IN_PLACE or item.form.bottoms != 1:
            return True if wanted else None
        if item.form.tops not in ((0,), ("name",)):
            return None
        if first:
            return True if wanted else None
        if self.fresh:
            return None if wanted else False
        return wanted

    def _blobs(self, blobs: Sequence[Template]) -> str:
        """The start of a chain; a layer without bottoms starts it itself."""
        if not blobs:
            return ""
        texts = [self._blob(blob) for blob in blobs]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    def _blob(self, blob: Template) -> str:
        if len(blob.parts) == 1 and isinstance(blob.parts[0], Ref):
            return blob.parts[0].text
        text = constant(blob)
        word = text is not None and text.isidentifier() and text.isascii()
        return text if word and text and text not in self.names | _WORDS else quoted(blob)

    def can_loop(self, item: NetItem) -> bool:
        """Whether a loop may begin at an item: it goes on from the blob that came last."""
        return item.reads == self.prev and len(item.reads) == 1

    def loop(self, loop: Loop) -> None:
        """Write a loop."""
        self._flush()
        if isinstance(loop.item.form, CallForm):
            step = self.steps.call(loop.item)
        else:
            step = self.steps.layer(loop.item, self._in_place(loop.item, True))
        if loop.values:
            names = f"{COUNT}, {VALUE}" if loop.counted else VALUE
            over = f"{names} in [{', '.join(map(leaf_text, loop.values))}]"
        elif loop.counted:
            over = f"{COUNT} in {loop.first}..={loop.first + loop.times - 1}"
        else:
            over = str(loop.times)
        text = f"repeat {over} {{ -> {step} }}"
        if len(text) <= WIDTH:
            self.lines.append(text)
        else:
            self.lines += [f"repeat {over} {{", *(f"  {p}" for p in _wrapped("", [step])), "}"]
        self.prev = loop.last.makes

    def _flush(self, assign: str = "") -> None:
        if self.head is None:
            return
        start, chain = self.head, self.chain
        self.head, self.chain = None, []
        if self.alone:
            start, *chain = chain
        self.lines += _wrapped(assign + start, chain)

    def end(self) -> list[str]:
        """All lines; the module's output is the chain at hand, or is named behind it."""
        if self.output is None:
            self._flush()
        elif self.head is not None and self.prev == (self.output,):
            self._flush(f"{_OUTPUT} = ")
        else:
            self._flush()
            self.lines.append(f"{_OUTPUT} = {self._blob(self.output)}")
        return self.lines


_WORDS = {"prev", "true", "false", "not", "if", "and", "or", "in", "else", "for", "as", _OUTPUT}


def _joined(text: str) -> list[str]:
    """A field of several lines on one, where it fits."""
    line = " ".join(part.strip() for part in text.splitlines())
    return [line] if len(line) <= WIDTH else text.splitlines()


def _wrapped(start: str, steps: Sequence[str]) -> list[str]:
    """A chain in as few lines as fit."""
    lines = [start]
    for step in steps:
        text = f"-> {step}"
        gap = " " if lines[-1].strip() else ""
        if len(lines[-1]) + len(gap) + len(text) <= WIDTH:
            lines[-1] += gap + text
        elif len(text) + 2 <= WIDTH:
            lines.append(f"  {text}" if lines[-1].strip() else text)
            lines = [line for line in lines if line.strip()]
        else:
            lines += _broken(text)
            lines = [line for line in lines if line.strip()]
    return lines


def _broken(step: str) -> list[str]:
    """A step too long for a line, broken between its values."""
    opening = step.index("(") + 1 if "(" in step else len(step)
    return _filled(f"  {step[:opening]}", _values(step[opening:]), " ", "      ")


def _values(text: str) -> list[str]:
    """The values of a step, each with the comma behind it."""
    parts, depth, start, quote = [], 0, 0, False
    for index, char in enumerate(text):
        if char == '"' and text[index - 1] != "\\":
            quote = not quote
        elif not quote and char in "([{":
            depth += 1
        elif not quote and char in ")]}":
            depth -= 1
        elif not quote and char == "," and depth == 0:
            parts.append(text[start : index + 1])
            start = index + 2
    return [*parts, text[start:]]
