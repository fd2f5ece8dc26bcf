"""Makes docs/support.md, the table of layers by backend: ``python docs/support.py``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netc.backends.cpu.emit.table import EMITTERS as CPU
from netc.backends.cuda.emit.table import EMITTERS as CUDA
from netc.export.onnx import RULES as ONNX
from netc.ops.catalog import LAYERS
from netc.ops.define import OpDef
from netc.ops.gradients.catalog import GRADIENTS
from netc.ops.gradients.define import every_bottom
from netc.ops.reduced import FORMATS
from netc.passes.reduce import PASSED_ON

TABLE = Path(__file__).resolve().parent / "support.md"

HEAD = """# Layers by backend

Made by `python docs/support.py`; a test keeps it so.

Every layer runs on every backend. The reference backend runs its definition, which is plain NumPy.
The others have kernels of their own for the layers that matter, and run the definition of the rest;
`net.report()` names the steps of a net that do so.

| mark | meaning |
|---|---|
| kernel | kernels of the backend's own (for a rare form of the layer, its definition) |
| definition | the layer's definition, on the processor |
| arrays | the layer's definition, on the GPU's arrays |
| host | the layer's definition on the processor, its inputs and outputs copied |
| input | data from outside: an input of the net |
| bf16, int8 | what it can be computed in ([quantize.md](quantize.md)); depthwise: int8 |
| keeps int8 | it reads and gives what such layers leave in fewer bits |
| yes | can be exported ([onnx.md](onnx.md) tells the exceptions) |
| | cannot |

The gradient column: a layer's gradient is built of other layers, whose kernels it has then, or has
a definition, or both, for its bottoms and its trained arrays; "none" passes no gradient, and
neither does Caffe's; "0" is a gradient that is 0 whatever comes.

| layer | cpu | fewer bits | cuda | ONNX | gradient |
|---|---|---|---|---|---|
"""

_PARTLY = {"Python": "definition; kernel for `ProposalLayer`"}


def main() -> None:
    """Write the table."""
    TABLE.write_text(table(), encoding="utf-8")


def table() -> str:
    """The page's text."""
    rows = [row(*item) for item in sorted(LAYERS.items(), key=lambda item: item[0].lower())]
    return HEAD + "".join(rows)


def row(name: str, op: OpDef) -> str:
    """A layer's row."""
    if op.source:
        return f"| {name} | input | | input | {'yes' if op.name in ONNX else 'input'} | |\n"
    cpu = _PARTLY.get(op.name) or ("kernel" if op.name in CPU else "definition")
    onnx = "yes" if op.name in ONNX else ""
    cells = (cpu, fewer_bits(op), cuda(op.name, CUDA), onnx, gradient(op))
    return f"| {name} | {' | '.join(cells)} |\n"


def fewer_bits(op: OpDef) -> str:
    """What a layer can be computed in, or left in, other than float32."""
    for table, word in ((FORMATS, ""), (PASSED_ON, "keeps ")):
        formats = next((own for role, own in table.items() if op.role & role), None)
        if formats is not None:
            return word + ", ".join(formats)
    return ""


def gradient(op: OpDef) -> str:
    """How a layer's gradient is made."""
    rule = GRADIENTS.get(op.name)
    if rule is None:
        return "" if op.arity.tops == (0, 0) else "none"
    if rule.ignored is every_bottom:
        return "0"
    defined = rule.bottom is not None or rule.weight is not None
    kinds = ("built" if rule.build else "", "definition" if defined else "")
    return ", ".join(kind for kind in kinds if kind)


def cuda(name: str, kernels: Mapping[str, object]) -> str:
    """How a layer runs on a GPU."""
    if name in kernels:
        return "kernel"
    return "host" if LAYERS[name].host else "arrays"


if __name__ == "__main__":
    main()
