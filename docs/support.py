"""Makes docs/support.md, the table of layers by backend: ``python docs/support.py``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from netc.backends.cpu.emit.table import EMITTERS as CPU
from netc.backends.cuda.emit.table import EMITTERS as CUDA
from netc.backends.cuda.fallback import HOST_ONLY
from netc.export.onnx import RULES as ONNX
from netc.ops.catalog import LAYERS
from netc.ops.define import OpDef

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
| yes | can be exported ([onnx.md](onnx.md) tells the exceptions) |
| | cannot |

| layer | cpu | cuda | ONNX |
|---|---|---|---|
"""


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
        return f"| {name} | input | input | {'yes' if op.name in ONNX else 'input'} |\n"
    cpu = "kernel" if op.name in CPU else "definition"
    return f"| {name} | {cpu} | {cuda(op.name, CUDA)} | {'yes' if op.name in ONNX else ''} |\n"


def cuda(name: str, kernels: Mapping[str, object]) -> str:
    """How a layer runs on a GPU."""
    if name in kernels:
        return "kernel"
    return "host" if name in HOST_ONLY else "arrays"


if __name__ == "__main__":
    main()
