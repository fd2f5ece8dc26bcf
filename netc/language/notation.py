"""The textbook notation for nets, ``INPUT -> [[CONV -> RELU]*2 -> POOL?]*3 -> FC``, to a text.

As in CS231n's course notes (``INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> ...``). ``*n`` repeats a
group in brackets or one layer; ``?`` marks an optional layer, which is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Source, Span, did_you_mean
from netc.ir.types import show

MAX_LAYERS = 1000
_MAX_NESTING = 20
_TOKEN = re.compile(r"\s*(?:(->)|([A-Za-z]+)|([0-9]+)|([\[\]*?])|(\S))")
_WIDTH, _WIDEST, _HIDDEN = 64, 512, 512

Sizes = tuple[int, ...]


class NotationLayer(NamedTuple):
    """One layer of the notation."""

    kind: str
    optional: bool
    span: Span


class Group(NamedTuple):
    """A group that is repeated, ``[parts]*times``."""

    parts: tuple[Part, ...]
    times: int


Part = NotationLayer | Group

KINDS = (
    "INPUT", "CONV", "RELU", "POOL", "FC", "DROPOUT", "BN", "LRN", "SIGMOID", "TANH", "SOFTMAX",
)  # fmt: skip
_OTHER_NAMES = {
    "DROP": "DROPOUT", "BATCHNORM": "BN", "NORM": "LRN", "IN": "INPUT", "DENSE": "FC",
    "CONVOLUTION": "CONV", "POOLING": "POOL", "MAXPOOL": "POOL", "LINEAR": "FC",
}  # fmt: skip


def parse_notation(text: str) -> tuple[Part, ...]:
    """The layers and groups of a net in the notation.

    Raises:
        NetcError: notation, at what cannot be parsed.
    """
    reader = _NotationReader(Source("<notation>", text))
    parts = reader.row(0)
    if reader.here[0]:
        raise reader.fault("`->` is missing")
    return parts


class _NotationReader:
    """Reads the notation, token by token; the last token is empty."""

    def __init__(self, source: Source) -> None:
        self.source = source
        found = [(m[0].strip(), m.end() - len(m[0].strip())) for m in _TOKEN.finditer(source.text)]
        self.tokens = [*found, ("", len(source.text))]
        self.at = 0

    @property
    def here(self) -> tuple[str, int]:
        """The next token and where it stands."""
        return self.tokens[self.at]

    def skip(self, text: str) -> bool:
        """Go past a token if it comes next."""
        if self.here[0] != text:
            return False
        self.at += 1
        return True

    def fault(self, message: str, help: tuple[str, ...] = ()) -> NetcError:
        """A fault at the next token."""
        text, start = self.here
        span = Span(self.source, start, start + max(1, len(text)))
        return NetcError(Diagnostic("notation", message, span, help=help))

    def row(self, depth: int) -> tuple[Part, ...]:
        """Parts with arrows between."""
        if depth > _MAX_NESTING:
            raise self.fault(f"brackets nest deeper than {_MAX_NESTING}")
        parts = [self.part(depth)]
        while self.skip("->"):
            parts.append(self.part(depth))
        return tuple(parts)

    def part(self, depth: int) -> Part:
        """A layer, or what stands in brackets, with its number of times."""
        if self.skip("["):
            inner = self.row(depth + 1)
            if not self.skip("]"):
                raise self.fault("`]` or `->` is missing")
            return Group(inner, self.times())
        layer = self.layer()
        times = self.times()
        return layer if times == 1 else Group((layer,), times)

    def layer(self) -> NotationLayer:
        """A layer's kind, and whether it may be left out."""
        text, start = self.here
        kind = _OTHER_NAMES.get(text.upper(), text.upper())
        if kind not in KINDS:
            help = did_you_mean(text.upper(), KINDS) or ("layers are " + ", ".join(KINDS),)
            message = f"`{text}` is no layer" if text else "a layer is missing at the end"
            raise self.fault(message, help)
        self.at += 1
        return NotationLayer(kind, self.skip("?"), Span(self.source, start, start + len(text)))

    def times(self) -> int:
        """The number behind ``*``; 1 without."""
        if not self.skip("*"):
            return 1
        text = self.here[0]
        if not text.isdigit() or len(text) > 6 or not 1 <= int(text) <= MAX_LAYERS:
            raise self.fault(f"behind `*` stands a number from 1 to {MAX_LAYERS:,}")
        self.at += 1
        return int(text)


def notation_text(text: str, sizes: Sizes, classes: int, name: str = "net") -> str:
    """A net in the notation as a text of the dialect.

    Convolutions are 3 by 3 and keep the size; their width starts at 64 and doubles with each pool,
    up to 512. Pools halve. Hidden fully connected layers are 512 wide; the last has one output a
    class, and a softmax behind it. Weights are filled as He et al. (2015) fill what a ReLU follows,
    and images come in as -1 to 1.

    Args:
        text: the notation.
        sizes: channels, height and width of the input.
        classes: of the last fully connected layer.
        name: of the net.

    Raises:
        NetcError: notation.
    """
    parts = parse_notation(text)
    _check(parts, sizes)
    writer = _NotationWriter(_last_fc(parts), classes)
    body = writer.rows(parts)
    shape = ", ".join(map(str, (1, *sizes)))
    title = " ".join(text.split())
    head = [f"# {title}", "", f"param classes = {classes}", f"name: {_quoted(name)}"]
    end = [] if writer.softmax else ['-> softmax as "prob"']
    let = [f"let width = {_WIDTH}"] if writer.convolutions else []
    return (
        "\n".join([*head, f"input data: [{shape}] {{ range: [-1, 1] }}", *let, "", *body, *end])
        + "\n"
    )


def _quoted(name: str) -> str:
    return '"' + re.sub(r'["\\\\$\n]', "_", name) + '"'


def _flat(parts: Sequence[Part]) -> Iterator[NotationLayer]:
    for part in parts:
        if isinstance(part, NotationLayer):
            yield part
        else:
            for _ in range(part.times):
                yield from _flat(part.parts)


def _check(parts: Sequence[Part], sizes: Sizes) -> None:
    """Refuse nets that make no sense: pools beyond the image, layers in no order."""
    height = min(sizes[1:])
    seen_fc, pools = False, 0
    for number, layer in enumerate(_flat(parts)):
        if number >= MAX_LAYERS:
            raise _fault(layer, f"the net has more than {MAX_LAYERS:,} layers")
        if layer.kind == "INPUT" and number:
            raise _fault(layer, "INPUT stands only at the start")
        if layer.kind in ("CONV", "POOL", "LRN") and seen_fc:
            raise _fault(
                layer, f"{layer.kind} stands behind FC, where no rows and columns are left"
            )
        seen_fc = seen_fc or layer.kind == "FC"
        pools += layer.kind == "POOL"
        if layer.kind == "POOL" and height >> pools == 0:
            size = show(sizes[1:])
            raise _fault(layer, f"pool {pools} halves what is 1 wide: the input is {size}")
    if not seen_fc:
        message = "the net has no FC, which gives a score for each class"
        raise NetcError(Diagnostic("notation", message, help=("end it with `-> FC`",)))


def _fault(layer: NotationLayer, message: str) -> NetcError:
    return NetcError(Diagnostic("notation", message, layer.span))


def _last_fc(parts: Sequence[Part]) -> int:
    """The number of the last FC among all, as they are met."""
    return sum(layer.kind == "FC" for layer in _flat(parts))


@dataclass
class _NotationWriter:
    """Writes parts as chains and loops.

    Attributes:
        last: which FC, counted from 1, gives the classes.
        classes: how many there are.
        fcs: how many FCs were written.
        convolutions: how many CONVs were.
        softmax: whether a SOFTMAX was.
    """

    last: int
    classes: int
    fcs: int = 0
    convolutions: int = 0
    softmax: bool = False

    def rows(self, parts: Sequence[Part], indent: str = "") -> list[str]:
        """The lines for a row of parts; layers side by side are one chain."""
        lines: list[str] = []
        chain: list[str] = []

        def flush() -> None:
            if chain:
                lines.append(f"{indent}-> {' -> '.join(chain)}")
                chain.clear()

        for part in parts:
            if isinstance(part, Group):
                flush()
                lines += self.group(part, indent)
            elif part.kind != "INPUT":
                chain.append(self.step(part.kind))
                if part.kind == "POOL" and self.convolutions:
                    flush()
                    lines.append(f"{indent}let width = min(2 * width, {_WIDEST})")
        flush()
        return lines

    def group(self, group: Group, indent: str) -> list[str]:
        """A loop; what holds the net's last FC is written out, since that one differs."""
        fcs = sum(layer.kind == "FC" for layer in _flat((group,)))
        holds_last = self.fcs < self.last <= self.fcs + fcs
        if group.times == 1 or (holds_last and fcs):
            return [line for _ in range(group.times) for line in self.rows(group.parts, indent)]
        before = self.fcs
        inner = self.rows(group.parts, indent + "  ")
        self.fcs = before + fcs
        return [f"{indent}repeat {group.times} {{", *inner, f"{indent}}}"]

    def step(self, kind: str) -> str:
        """One layer."""
        return _STEPS[kind](self)

    def fully_connected(self) -> str:
        """FC; the last has one output a class."""
        self.fcs += 1
        if self.fcs == self.last:
            return f'fc(classes, {_filler("xavier")}) as "scores"'
        return f"fc({_HIDDEN}, {_filler('msra')})"

    def convolution(self) -> str:
        """CONV."""
        self.convolutions += 1
        return f"conv(width, 3, pad: 1, {_filler('msra')})"

    def probabilities(self) -> str:
        """SOFTMAX."""
        self.softmax = True
        return 'softmax as "prob"'


def _filler(kind: str) -> str:
    return f'weight_filler {{ type: "{kind}" }}'


_STEPS: dict[str, Callable[[_NotationWriter], str]] = {
    "CONV": _NotationWriter.convolution,
    "FC": _NotationWriter.fully_connected,
    "SOFTMAX": _NotationWriter.probabilities,
    "RELU": lambda writer: "relu",
    "POOL": lambda writer: "pool(2)",
    "DROPOUT": lambda writer: "dropout(0.5)",
    "BN": lambda writer: "batchnorm -> scale",
    "LRN": lambda writer: "lrn(5, 0.0001, 0.75)",
    "SIGMOID": lambda writer: "sigmoid",
    "TANH": lambda writer: "tanh",
}
