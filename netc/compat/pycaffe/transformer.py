"""``caffe.io.Transformer``: an image made ready for a net, and back (pycaffe's io.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.resizing import resize_image
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.graph import Array
from netc.ops.array import AnyArray


class Transformer:
    """What is done to each input's images; nothing but resizing until it is set.

    Args:
        inputs: input blob -> its shape, (num, channels, height, width) of those that hold images.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Any] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: object) -> Array:
        """An image as the net takes it.

        The order is: resize, transpose, swap channels, raw scale, mean, input scale. As in pycaffe
        a float32 image that is neither resized nor has its channels swapped is changed in place.

        Args:
            in_: the input blob.
            data: an array (height, width, channels).

        Returns:
            float32, (channels, height, width) where the transpose says so.

        Raises:
            NetcError: unknown-input or bad-argument.
        """
        self._check(in_)
        image = _array(in_, data).astype(np.float32, copy=False)
        size = self.inputs[in_][2:]
        if image.shape[:2] != size:
            image = resize_image(image, size)
        image = self._ordered(in_, image)
        if not image.flags.writeable:
            image = image.copy()
        if in_ in self.raw_scale:
            image *= self.raw_scale[in_]
        if in_ in self.mean:
            image = self._less_mean(in_, image)
        if in_ in self.input_scale:
            image *= self.input_scale[in_]
        return image

    def _ordered(self, in_: str, image: Array) -> Array:
        """Axes and channels in the net's order."""
        try:
            if in_ in self.transpose:
                image = image.transpose(self.transpose[in_])
            if in_ in self.channel_swap:
                image = image[list(self.channel_swap[in_]), :, :]
        except (ValueError, IndexError) as error:
            message = f"the image for input `{in_}` cannot be put in the order that is set: {error}"
            raise also(NetcError(Diagnostic("bad-argument", message)), type(error)) from None
        return image

    def deprocess(self, in_: str, data: object) -> AnyArray:
        """What ``preprocess`` made, undone but for the size.

        Args:
            in_: the input blob.
            data: one item of the blob, or a batch of one; of floating-point numbers.

        Returns:
            The image, of the type of ``data``.

        Raises:
            NetcError: unknown-input; bad-argument.
        """
        self._check(in_)
        image: Any = _array(in_, data).copy().squeeze()
        if image.dtype.kind != "f":
            message = f"an image of input `{in_}` has floating-point numbers, not {image.dtype}"
            raise also(_bad(message), TypeError)
        if in_ in self.input_scale:
            image /= self.input_scale[in_]
        if in_ in self.mean:
            image += self.mean[in_]
        if in_ in self.raw_scale:
            image /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_]), :, :]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return np.asarray(image)

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes; (2, 0, 1) makes (channels, height, width) of an image.

        Raises:
            NetcError: unknown-input or bad-argument.
        """
        self._check(in_)
        axes = len(self.inputs[in_]) - 1
        if len(order) != axes:
            raise _bad(f"the transpose of input `{in_}` orders {axes} axes, it is {tuple(order)}")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels after the transpose; (2, 1, 0) makes BGR of RGB.

        Raises:
            NetcError: unknown-input or bad-argument.
        """
        self._check(in_)
        channels = self.inputs[in_][1]
        if len(order) != channels:
            raise _bad(f"input `{in_}` has {channels} channels, the order is {tuple(order)}")
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set what pixels are multiplied by before the mean is subtracted; often 255.

        Raises:
            NetcError: unknown-input.
        """
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: object) -> None:
        """Set what is subtracted, in the net's channel order.

        Args:
            in_: the input blob.
            mean: one value for each channel, or an image (channels, height, width), which is
                brought to the input's size; for one channel also (height, width) of that size.

        Raises:
            NetcError: unknown-input or bad-mean.
        """
        self._check(in_)
        mean, shape = _array(in_, mean), self.inputs[in_][1:]
        if mean.ndim == 1:
            if len(mean) != shape[0]:
                raise _bad_mean(in_, f"{len(mean)} values, and the input has {shape[0]} channels")
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.ndim == 2 and (1, *mean.shape) != shape:  # as of .mean(1) of four axes
            raise _bad_mean(in_, f"shape {mean.shape}, and an image of the input has {shape}")
        elif mean.ndim not in (2, 3) or mean.shape[:-2] not in ((), (1,), shape[:1]):
            raise _bad_mean(in_, f"shape {mean.shape}, and an image of the input has {shape}")
        elif mean.shape[-2:] != shape[1:]:
            image = mean.reshape(-1, *mean.shape[-2:]).transpose(1, 2, 0)
            mean = resize_image(image, shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set what everything is multiplied by at last.

        Raises:
            NetcError: unknown-input.
        """
        self._check(in_)
        self.input_scale[in_] = scale

    def _less_mean(self, in_: str, image: Array) -> Array:
        try:
            image -= self.mean[in_]
        except ValueError:
            shape = self.mean[in_].shape
            message = f"shape {shape}, and the image has {image.shape} after transposing"
            raise _bad_mean(in_, message, "set_transpose(..., (2, 0, 1)) comes first") from None
        return image

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            listed = ", ".join(f"`{name}`" for name in self.inputs) or "none"
            message = f"there is no input `{in_}`; the inputs are: {listed}"
            raise NetcError(
                Diagnostic("unknown-input", message, help=did_you_mean(in_, self.inputs))
            )


def _array(in_: str, given: object) -> AnyArray:
    if not isinstance(given, np.ndarray):
        message = f"what is given for input `{in_}` is a {type(given).__name__}, not an array"
        error = Diagnostic("bad-argument", message, help=("write numpy.asarray(...)",))
        raise also(NetcError(error), AttributeError)
    return given


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-argument", message))


def _bad_mean(in_: str, has: str, *help: str) -> NetcError:
    error = NetcError(Diagnostic("bad-mean", f"the mean of input `{in_}` has {has}", help=help))
    return also(error, ValueError)
