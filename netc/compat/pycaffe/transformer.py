"""``caffe.io.Transformer``: an image made ready for a net, and back (pycaffe's io.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netc.compat.pycaffe.errors import also
from netc.compat.pycaffe.resizing import resize_image
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.graph import Array


class Transformer:
    """What is done to each input's images; nothing but resizing until it is set.

    Args:
        inputs: input blob -> its shape (num, channels, height, width).

    Raises:
        NetcError: bad-argument, for an input of other axes.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        for name, shape in self.inputs.items():
            if len(shape) != 4:
                raise _bad(f"input `{name}` of images has four axes, not {shape}")
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Any] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: object) -> Array:
        """An image as the net takes it.

        The order is: resize, transpose, swap channels, raw scale, mean, input scale.

        Args:
            in_: the input blob.
            data: (height, width, channels).

        Returns:
            float32, (channels, height, width) where the transpose says so.

        Raises:
            NetcError: unknown-input or bad-argument.
        """
        self._check(in_)
        image = np.asarray(data).astype(np.float32)
        size = self.inputs[in_][2:]
        if image.shape[:2] != size:
            image = resize_image(image, size)
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            image = image * np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            image = self._less_mean(in_, image)
        if in_ in self.input_scale:
            image = image * np.float32(self.input_scale[in_])
        return np.asarray(image, dtype=np.float32)

    def deprocess(self, in_: str, data: object) -> Array:
        """What ``preprocess`` made, undone but for the size.

        Args:
            in_: the input blob.
            data: one item of the blob, or a batch of one.

        Raises:
            NetcError: unknown-input.
        """
        self._check(in_)
        image = np.array(data, dtype=np.float32).squeeze()
        if in_ in self.input_scale:
            image = image / np.float32(self.input_scale[in_])
        if in_ in self.mean:
            image = image + self.mean[in_]
        if in_ in self.raw_scale:
            image = image / np.float32(self.raw_scale[in_])
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return np.asarray(image, dtype=np.float32)

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes; (2, 0, 1) makes (channels, height, width) of an image.

        Raises:
            NetcError: unknown-input or bad-argument.
        """
        self._check(in_)
        axes = len(self.inputs[in_]) - 1
        if sorted(order) != list(range(axes)):
            raise _bad(f"the transpose of input `{in_}` orders {axes} axes, it is {tuple(order)}")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels after the transpose; (2, 1, 0) makes BGR of RGB.

        Raises:
            NetcError: unknown-input or bad-argument.
        """
        self._check(in_)
        channels = self.inputs[in_][1]
        if len(order) != channels or not all(0 <= c < channels for c in order):
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
        mean, shape = np.asarray(mean, dtype=np.float32), self.inputs[in_][1:]
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
            return np.asarray(image - self.mean[in_], dtype=np.float32)
        except ValueError:
            shape = self.mean[in_].shape
            message = f"shape {shape}, and the image has {image.shape} after transposing"
            raise _bad_mean(in_, message, "set_transpose(..., (2, 0, 1)) comes first") from None

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            listed = ", ".join(f"`{name}`" for name in self.inputs) or "none"
            message = f"there is no input `{in_}`; the inputs are: {listed}"
            raise NetcError(
                Diagnostic("unknown-input", message, help=did_you_mean(in_, self.inputs))
            )


def _bad(message: str) -> NetcError:
    return NetcError(Diagnostic("bad-argument", message))


def _bad_mean(in_: str, has: str, *help: str) -> NetcError:
    error = NetcError(Diagnostic("bad-mean", f"the mean of input `{in_}` has {has}", help=help))
    return also(error, ValueError)
