"""What the tests of security share: a small net, and how a command ends."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np

from netc.cli.main import main

NET = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 2 bias_term: false } }
"""


def net_in(folder: Path, text: str = NET) -> str:
    """The path of a net's text in a folder."""
    path = folder / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def array_in(folder: Path, *shape: int) -> str:
    """The path of an array in a folder."""
    path = folder / "x.npy"
    np.save(path, np.ones(shape or (1, 3, 4, 4), np.float32))
    return str(path)


def outcome(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    out, error = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main(arguments)
    return code, told(out), told(error)


def told(stream: io.TextIOWrapper) -> str:
    """What was written to a stream."""
    stream.seek(0)
    return stream.read()


def refusal(*arguments: str) -> str:
    """What a command says that ends with a mistake of the user's, and nothing worse."""
    code, _, error = outcome(*arguments)
    assert code == 1, error
    assert "error[" in error and "Traceback" not in error and "internal error" not in error
    return error
