"""The arrays that a script gives a net by name: checked, put into its blobs, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from netc.compat.pycaffe.blob import Blob
from netc.compat.pycaffe.errors import also
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.types import show
from netc.ops.array import AnyArray


def check_names(arrays: Mapping[str, AnyArray], inputs: Sequence[str]) -> None:
    """Check that exactly the net's inputs are given.

    Raises:
        NetcError: unknown-input, missing-input.
    """
    known = ", ".join(f"`{name}`" for name in inputs) or "none"
    faults = [
        Diagnostic(
            "unknown-input",
            f"the net has no input `{name}`; its inputs are: {known}",
            help=did_you_mean(name, inputs),
        )
        for name in arrays
        if name not in inputs
    ]
    faults += [
        Diagnostic("missing-input", f"input `{name}` is not given")
        for name in inputs
        if name not in arrays
    ]
    if faults:
        raise NetcError(faults)


def listed(names: object, what: str) -> list[str]:
    """The names that a script asks for besides: a list, as pycaffe adds it to one.

    Raises:
        NetcError: bad-argument, a TypeError too.
    """
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        message = f"`{what}` is a list of blobs' names, not {names!r}"
        raise also(NetcError(Diagnostic("bad-argument", message)), TypeError)
    return names


def check_array(name: str, given: object) -> None:
    """Check that an input is given as an array.

    Raises:
        NetcError: bad-argument, an AttributeError too.
    """
    if not hasattr(given, "shape"):
        message = f"input `{name}` is a {type(given).__name__}, and an array is taken"
        error = Diagnostic("bad-argument", message, help=("write numpy.asarray(...)",))
        raise also(NetcError(error), AttributeError)


def put(arrays: Mapping[str, AnyArray], blobs: Mapping[str, Blob]) -> None:
    """Copy arrays into the blobs of their names; a batch must be as large as the blob's.

    Raises:
        NetcError: bad-argument; input-dtype; input-shape, a ValueError too.
    """
    for name, given in arrays.items():
        check_array(name, given)
        array, shape = np.asarray(given), blobs[name].shape
        if array.dtype.kind not in "fiub":
            message = f"input `{name}` is {array.dtype}, and the net takes numbers"
            raise NetcError(Diagnostic("input-dtype", message))
        change = f"net.blobs['{name}'].reshape(...) changes it"
        if array.shape[:1] != shape[:1]:
            batch = f"the net's batch is {shape[0] if shape else 'a scalar'}"
            raise _misfit(name, array, batch, f"{change}, or use forward_all")
        try:
            blobs[name].data[...] = array
        except ValueError:
            raise _misfit(name, array, f"the net takes {show(shape)}", change) from None


def batches(arrays: Mapping[str, AnyArray], size: int) -> Iterator[dict[str, Any]]:
    """Split the arrays into batches of ``size`` items; the last one is padded with zeros."""
    for name, array in arrays.items():
        check_array(name, array)
    given = {name: np.asarray(array) for name, array in arrays.items()}
    number = len(next(iter(given.values()))) if given else 0
    for at in range(0, number, max(1, size)):
        pieces = {name: array[at : at + size] for name, array in given.items()}
        lacking = at + size - number
        if lacking > 0:
            pieces = {
                name: np.concatenate([p, np.zeros((lacking, *p.shape[1:]), p.dtype)])
                for name, p in pieces.items()
            }
        yield pieces


def _misfit(name: str, array: AnyArray, takes: str, help: str) -> NetcError:
    message = f"input `{name}` is given {show(array.shape)}, and {takes}"
    return also(NetcError(Diagnostic("input-shape", message, help=(help,))), ValueError)
