"""``caffe.Detector``: scores of windows of pictures (R-CNN), as pycaffe's detector.py does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np

import netc.compat.pycaffe.io as io
from netc.compat.pycaffe.classifier import transformer_for
from netc.compat.pycaffe.mode import TEST
from netc.compat.pycaffe.net import Net
from netc.compat.pycaffe.resizing import resize_image
from netc.diagnostics import Diagnostic, NetcError
from netc.ops.array import AnyArray


class Detector(Net):
    """A net with its preprocessing, for windows of pictures.

    Args:
        model_file: path of a prototxt.
        pretrained_file: path of the weights.
        mean: as :meth:`Transformer.set_mean` takes it.
        input_scale: multiplied at last.
        raw_scale: multiplied before the mean is subtracted.
        channel_swap: order of channels; (2, 1, 0) for nets that take BGR.
        context_pad: pixels of the net's input around the window that show what surrounds it.
    """

    def __init__(
        self,
        model_file: str | PathLike[str],
        pretrained_file: str | PathLike[str],
        mean: object = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_for(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Say how much of a window's surroundings is shown; where there is none, the mean is."""
        in_ = self.inputs[0]
        back = np.argsort(self.transformer.transpose[in_])
        self.crop_dims = np.array(self.blobs[in_].shape[1:])[back]
        self.context_pad = context_pad
        self.crop_mean: AnyArray = np.zeros(self.crop_dims, dtype=np.float32)
        mean = self.transformer.mean.get(in_)
        if context_pad and mean is not None:
            self.crop_mean = self._as_pixels(in_, mean, back)

    def _as_pixels(self, in_: str, mean: AnyArray, back: AnyArray) -> AnyArray:
        """The mean as it would be in a picture that is not prepared yet."""
        pixels = mean.transpose(back)
        swap = self.transformer.channel_swap.get(in_)
        if swap is not None:
            pixels = pixels[:, :, np.argsort(swap)]
        return pixels / np.float32(self.transformer.raw_scale.get(in_) or 1)

    def detect_windows(
        self, images_windows: Iterable[tuple[str, AnyArray]]
    ) -> list[dict[str, object]]:
        """Scores of windows.

        Args:
            images_windows: of each picture its path and its windows, each (top, left, bottom,
                right) in pixels.

        Returns:
            For each window a dict of ``window``, ``prediction`` and ``filename``.

        Raises:
            NetcError: what reading a picture raises; bad-argument, for a window without pixels.
        """
        in_, found, crops = self.inputs[0], [], []
        for name, windows in images_windows:
            image = io.load_image(name)
            for window in windows:
                crops.append(self.transformer.preprocess(in_, self.crop(image, window)))
                found.append({"window": window, "filename": name})
        if not crops:
            return []
        fed: Any = np.stack(crops)
        scores = self.forward_all(None, **{in_: fed})[self.outputs[0]]
        return [{**one, "prediction": score} for one, score in zip(found, scores, strict=True)]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[dict[str, object]]:
        """Refused: the windows come from a program of others, in MATLAB.

        Raises:
            NetcError: bad-argument.
        """
        message = "selective search is a MATLAB program that netc does not call"
        help = "give its windows to detect_windows"
        raise NetcError(Diagnostic("bad-argument", message, help=(help,)))

    def crop(self, im: AnyArray, window: AnyArray) -> Any:
        """A window's pixels; with ``context_pad`` of the net's size, with what surrounds it."""
        top, left, bottom, right = (int(side) for side in window)
        inside = im[top:bottom, left:right]
        if not inside.size:
            message = f"the window {tuple(window)} holds no pixel of {im.shape[:2]}"
            raise NetcError(Diagnostic("bad-argument", message))
        return self._with_context(im, window) if self.context_pad else inside

    def _with_context(self, im: AnyArray, window: AnyArray) -> object:
        size = self.blobs[self.inputs[0]].width  # of a square input
        grown = size / (size - 2.0 * (self.context_pad or 0))
        rows = _Side(window[0], window[2], im.shape[0], size, grown)
        columns = _Side(window[1], window[3], im.shape[1], size, grown)
        part = im[rows.first : rows.last, columns.first : columns.last]
        out = np.ones(self.crop_dims, dtype=np.float32) * self.crop_mean
        out[rows.place, columns.place] = resize_image(part, (rows.length, columns.length))
        return out


class _Side:
    """One axis of a window with its surroundings: what is taken, and where it is put."""

    def __init__(self, first: float, last: float, whole: int, size: int, grown: float) -> None:
        half = (last - first + 1) / 2.0
        box = np.round(first + half + grown * np.array((-half, half)))
        scale = size / (box[1] - box[0] + 1)
        before = round(max(0, -box[0]) * scale)
        box = np.clip(box, 0, whole)
        self.first, self.last = int(box[0]), int(box[1])
        self.length = min(round((box[1] - box[0] + 1) * scale), size - before)
        self.place = slice(before, before + self.length)
