"""Lints about sliding windows: convolution, pooling, deconvolution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netc.analysis.lint.rule import LintedNet, LintRule, Slide, axis_word, slides
from netc.diagnostics import Diagnostic
from netc.ir.types import show
from netc.ops.catalog import CATALOG, has_role
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.pooling import PoolingParams
from netc.ops.role import Role
from netc.ops.window import Axis, axis_name

_KERNEL = ("kernel_size", "kernel_h", "kernel_w")


def _fields(plain: str, quantity: str, axis: int) -> tuple[str, str]:
    """The fields that a quantity of an axis may be written in."""
    return plain, f"{quantity}_{'hw'[min(axis, 1)]}"


def uneven_strides(subject: LintedNet) -> Iterator[Diagnostic]:
    """uneven-stride: windows that do not reach the end of their input.

    A window smaller than its stride skips elements everywhere, which nobody does by mistake.
    """
    for node, axes in slides(subject):
        missed = [max(0, _unread(axis)) if axis.extent >= axis.stride > 1 else 0 for axis in axes]
        if any(missed):
            yield _uneven(subject, Slide(node, axes), missed)


def _unread(axis: Axis) -> int:
    """Elements at the end of the input that no window reaches."""
    return axis.size + axis.pad - ((axis.out - 1) * axis.stride + axis.extent)


def _uneven(subject: LintedNet, slide: Slide, missed: Sequence[int]) -> Diagnostic:
    node, axes = slide
    at = next(index for index, number in enumerate(missed) if number)
    axis = axes[at]
    told = [
        f"{number if number > 1 else ''} {axis_word(index, len(axes), number)}".strip()
        for index, number in enumerate(missed)
        if number
    ]
    padded = f"{axis.size} + 2 * {axis.pad}" if axis.pad else f"{axis.size}"
    rest = (axis.size + 2 * axis.pad - axis.extent) % axis.stride
    verb = "is" if sum(missed) == 1 else "are"
    return subject.note(
        "uneven-stride",
        node,
        f"a stride of {axis.stride} does not fit: ({padded} - {axis.extent}) / {axis.stride} is "
        f"not whole, and the last {' and '.join(told)} of `{subject.blob(node.inputs[0])}` {verb} "
        "never read",
        f"a {axis_name(at, len(axes))} of {axis.size - rest} or "
        f"{axis.size - rest + axis.stride} fits",
        at=_fields("stride", "stride", at),
        axis=at,
    )


def large_kernels(subject: LintedNet) -> Iterator[Diagnostic]:
    """kernel-exceeds-input: kernels larger than their padded input.

    Caffe rounds towards zero and makes one output.
    """
    for node, axes in slides(subject):
        for index, axis in enumerate(axes):
            if axis.extent > axis.size + 2 * axis.pad:
                yield subject.note(
                    "kernel-exceeds-input",
                    node,
                    f"the kernel spans {axis.extent}, more than the padded "
                    f"{axis_name(index, len(axes))} {axis.size + 2 * axis.pad}; what overhangs "
                    "reads zeros",
                    "a smaller kernel or a larger input is likely meant",
                    at=_fields("kernel_size", "kernel", index),
                    axis=index,
                )
                break


def idle_kernels(subject: LintedNet) -> Iterator[Diagnostic]:
    """idle-kernel: weights that only ever meet padding."""
    for node, axes in slides(subject):
        if not has_role(node.op, Role.CONVOLUTION | Role.LOCAL_PRODUCT):
            continue
        for index, axis in enumerate(axes):
            used = sum(1 for _ in axis.taps())
            if used < axis.kernel and axis.extent <= axis.size + 2 * axis.pad:
                yield subject.note(
                    "idle-kernel",
                    node,
                    f"of the kernel's {axis.kernel} {axis_word(index, len(axes), axis.kernel)} "
                    f"only {used} ever {'meets' if used == 1 else 'meet'} data; the "
                    f"{axis_name(index, len(axes))} of the input is {axis.size}, the rest is "
                    "padding",
                    f"a kernel of {axis.extent - 2 * min(axis.pad, axis.extent // 2)} without "
                    "padding gives as much",
                    at=_fields("kernel_size", "kernel", index),
                    axis=index,
                )
                break


def ceil_poolings(subject: LintedNet) -> Iterator[Diagnostic]:
    """ceil-pooling: poolings that make more outputs than PyTorch's default would."""
    for node, axes in slides(subject):
        if not has_role(node.op, Role.POOLING):
            continue
        params = node.params_as(PoolingParams)
        if not params.ceil or params.window.whole:
            continue
        floors = [(a.size + 2 * a.pad - a.kernel) // a.stride + 1 for a in axes]
        if floors != [a.out for a in axes]:
            yield subject.note(
                "ceil-pooling",
                node,
                f"Caffe's pooling rounds up: {show(a.size for a in axes)} becomes "
                f"{show(a.out for a in axes)}, and {show(floors)} by PyTorch's default",
                "write `ceil_mode=True` where the net is rebuilt in PyTorch",
                at=_KERNEL,
            )


def empty_windows(subject: LintedNet) -> Iterator[Diagnostic]:
    """empty-pool-window: pooling windows that lie entirely beyond their input."""
    for node, axes in slides(subject):
        if not has_role(node.op, Role.POOLING):
            continue
        for index, axis in enumerate(axes):
            if (axis.out - 1) * axis.stride - axis.pad >= axis.size:
                params = node.params_as(PoolingParams)
                value = "-3.4e38" if params.method == "MAX" else "nan or 0"
                yield subject.note(
                    "empty-pool-window",
                    node,
                    f"the last window along the {axis_name(index, len(axes))} begins at "
                    f"{(axis.out - 1) * axis.stride - axis.pad}, and the input ends at "
                    f"{axis.size - 1}: it gives {value}",
                    "use `round_mode: FLOOR`, or a stride of at most the kernel",
                    at=_fields("stride", "stride", index),
                    axis=index,
                )
                break


def uneven_deconvolutions(subject: LintedNet) -> Iterator[Diagnostic]:
    """uneven-deconvolution: trained upsampling whose windows overlap unevenly.

    Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, Distill 2016.
    """
    for node in subject.of(Role.DECONVOLUTION):
        shapes = subject.shapes(node)
        filler = node.params_as(ConvolutionParams).weight_filler
        if shapes is None or filler.type == "bilinear":
            continue
        window = CATALOG[node.op].window(node.params, *shapes)
        for kernel, stride in zip(window.kernel, window.stride, strict=True):
            if kernel % stride:
                what = (
                    f"leaves gaps of {stride - kernel} zeros"
                    if kernel < stride
                    else "makes some outputs of more inputs than others, a checkerboard"
                )
                yield subject.note(
                    "uneven-deconvolution",
                    node,
                    f"a kernel of {kernel} at a stride of {stride} {what}",
                    f"use a kernel of {max(1, round(kernel / stride)) * stride}, which the stride "
                    "divides",
                    at=_KERNEL,
                )
                break


RULES = (
    LintRule("uneven-stride", "a stride that leaves the end of the input unread", uneven_strides),
    LintRule("kernel-exceeds-input", "a kernel larger than its padded input", large_kernels),
    LintRule("idle-kernel", "weights that only ever meet padding", idle_kernels),
    LintRule("ceil-pooling", "pooling that PyTorch rounds the other way", ceil_poolings),
    LintRule("empty-pool-window", "a pooling window beyond its input", empty_windows),
    LintRule(
        "uneven-deconvolution",
        "a deconvolution whose kernel its stride does not divide",
        uneven_deconvolutions,
    ),
)
