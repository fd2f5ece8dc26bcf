"""Matrix products by cuBLASLt: with bias, sum and ReLU in the product's own last lines.

cuBLASLt takes the stream and the workspace with each call, so that its products can be recorded in
a graph; CuPy's own binding of cuBLAS refuses that. Types, numbers and layouts are those of
cublasLt.h.

A pixel's channels lie side by side, so pixels x channels in rows is channels x pixels in cuBLAS's
columns: the product is ``Y = W^T X`` with W and X as they lie, and the gradient of the weights
``W = X Y^T``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import ExitStack
from ctypes import byref, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

from netc.backends.cuda.libraries.operation import (
    MAX_ALGORITHMS,
    WORKSPACE,
    LibraryAlgorithm,
    LibraryError,
    LibraryKernel,
    LibraryProduct,
    Start,
)

NAME = "cublas"

_R_32F, _R_16F = 0, 2  # cudaDataType_t
_COMPUTE = {"float32": 68, "tf32": 77, "fp16": 68}  # cublasComputeType_t; FAST_TF32 is 77
_TRANSPOSED = 1  # cublasOperation_t
_TRANS_A, _TRANS_B, _EPILOGUE, _BIAS_POINTER = 3, 4, 7, 8  # cublasLtMatmulDescAttributes_t
_BATCH_COUNT, _BATCH_STRIDE = 5, 6  # cublasLtMatrixLayoutAttribute_t
_MAX_WORKSPACE, _ALIGNMENTS = 1, (5, 6, 7, 8)  # cublasLtMatmulPreferenceAttributes_t
_DEFAULT, _RELU, _BIAS = 1, 2, 4  # cublasLtEpilogue_t
_UNSUPPORTED = 15  # CUBLAS_STATUS_NOT_SUPPORTED
_ALGORITHM = 8  # words of a cublasLtMatmulAlgo_t


class _Found(ctypes.Structure):
    """A cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", c_uint64 * _ALGORITHM),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


class Cublas:
    """A loaded cuBLASLt.

    Args:
        library: libcublasLt.

    Raises:
        LibraryError: it does not start.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.cublasLtGetVersion.restype = c_size_t
        self._handle = c_void_p()
        self._call("Create", byref(self._handle))

    @property
    def version(self) -> str:
        """The library's number, as 12.9.3."""
        number = int(self._library.cublasLtGetVersion())
        return f"{number // 10000}.{number // 100 % 100}.{number % 100}"

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, f"cublasLt{name}")(*arguments)
        if status:
            raise LibraryError(f"cublasLt{name} gave status {status}")

    def algorithms(self, operation: LibraryProduct) -> Sequence[LibraryAlgorithm]:
        """The heuristic's algorithms, the most promising first; none for what is no product."""
        if not operation.pointwise or (operation.parts > 1 and operation.bias):
            return ()
        found, count = (_Found * MAX_ALGORITHMS)(), c_int()
        try:
            with ExitStack() as stack:
                matmul = _Matmul(self, operation, stack, bias=operation.item)
                preference = self._preference(operation, stack)
                request = (
                    matmul.description,
                    *matmul.layouts,
                    preference,
                    MAX_ALGORITHMS,
                    found,
                    byref(count),
                )
                self._call("MatmulAlgoGetHeuristic", self._handle, *request)
        except LibraryError:
            return ()
        usable = [one for one in found[: count.value] if one.state == 0]
        return [LibraryAlgorithm(NAME, _text(one.algorithm), int(one.workspace)) for one in usable]

    def _preference(self, operation: LibraryProduct, stack: ExitStack) -> c_void_p:
        preference = self._made("MatmulPreference", stack)
        self._set("MatmulPreference", preference, _MAX_WORKSPACE, c_uint64(WORKSPACE))
        for attribute in _ALIGNMENTS:
            number = c_uint32(operation.alignment)
            self._set("MatmulPreference", preference, attribute, number)
        return preference

    def _made(self, kind: str, stack: ExitStack, *arguments: object) -> c_void_p:
        """A new object of the library's, destroyed with the stack."""
        made = c_void_p()
        self._call(f"{kind}Create", byref(made), *arguments)
        stack.callback(self._call, f"{kind}Destroy", made)
        return made

    def _set(self, kind: str, made: c_void_p, attribute: int, value: Any) -> None:
        size = c_size_t(ctypes.sizeof(value))
        self._call(f"{kind}SetAttribute", made, attribute, byref(value), size)

    def start(self, kernel: LibraryKernel) -> Start:
        """A function that starts a product with this algorithm."""
        operation, algorithm = kernel.operation, kernel.algorithm
        words = [int(word, 16) for word in algorithm.text.split("-")]
        numbers = (c_uint64 * _ALGORITHM)(*words)

        def run(addresses: Sequence[int], stream: int) -> None:
            x, w, y, bias, other, workspace = map(c_void_p, addresses)
            one, beta = c_float(1), c_float(1 if operation.other else 0)
            source = other if operation.other else y
            with ExitStack() as stack:
                matmul = _Matmul(self, operation, stack, bias.value or 0)
                left, right, added, made = matmul.layouts
                places = (x, y, w, w) if operation.gradient else (w, x, source, y)
                self._call(
                    "Matmul",
                    *(self._handle, matmul.description, byref(one), places[0], left),
                    *(places[1], right, byref(beta), places[2], added, places[3], made, numbers),
                    *(workspace, c_size_t(algorithm.workspace), c_void_p(stream)),
                )

        return run


class _Matmul:
    """The descriptions of a product and its matrices, as long as a stack is open."""

    def __init__(
        self, owner: Cublas, operation: LibraryProduct, stack: ExitStack, bias: int
    ) -> None:
        self._owner, self._stack = owner, stack
        kind = _R_16F if operation.precision == "fp16" else _R_32F
        compute = _COMPUTE[operation.precision]
        self.description = owner._made("MatmulDesc", stack, compute, _R_32F)
        turned = _TRANS_B if operation.gradient else _TRANS_A
        owner._set("MatmulDesc", self.description, turned, c_int32(_TRANSPOSED))
        epilogue = (_RELU if operation.relu else 0) | (_BIAS if operation.bias else 0)
        owner._set("MatmulDesc", self.description, _EPILOGUE, c_uint32(epilogue or _DEFAULT))
        if operation.bias:
            owner._set("MatmulDesc", self.description, _BIAS_POINTER, c_void_p(bias))
        length, outputs, pixels = operation.x[3], operation.y[2], operation.pixels
        parts = operation.parts
        w = self._layout(kind, length, outputs, operation.ldw, parts, outputs * operation.ldw)
        x = self._layout(kind, length, pixels, operation.ldx, parts, length)
        y = self._layout(kind, outputs, pixels, operation.ldy, parts, outputs)
        ld = operation.other or operation.ldy
        other = self._layout(kind, outputs, pixels, ld, parts, outputs)
        # Of A, B, C and D in cuBLAS's D = A B + C.
        self.layouts = (x, y, w, w) if operation.gradient else (w, x, other, y)

    def _layout(
        self, kind: int, rows: int, cols: int, ld: int, parts: int, stride: int
    ) -> c_void_p:
        owner = self._owner
        sizes = (c_uint64(rows), c_uint64(cols), c_int64(ld))
        layout = owner._made("MatrixLayout", self._stack, kind, *sizes)
        if parts > 1:
            owner._set("MatrixLayout", layout, _BATCH_COUNT, c_int32(parts))
            owner._set("MatrixLayout", layout, _BATCH_STRIDE, c_int64(stride))
        return layout


def _text(words: Sequence[int]) -> str:
    return "-".join(f"{word:x}" for word in words)
