"""The ``param_str`` of well-known Python layers: YAML or a dict, read without running code."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from netc.ops.define import ShapeError

ParamFields = dict[str, Any]  # numbers, text, lists and dicts, as YAML has them
_SAME = {
    "pre_nms_top_n": "pre_nms_topn", "post_nms_top_n": "post_nms_topn",
    "rpn_pre_nms_top_n": "pre_nms_topn", "rpn_post_nms_top_n": "post_nms_topn",
    "rpn_nms_thresh": "nms_thresh", "rpn_min_size": "min_size", "anchor_scales": "scales",
    "anchor_ratios": "ratios",
}  # fmt: skip
_BARE_KEY = re.compile(r"(?m)(^|[,{])(\s*)([A-Za-z_]\w*)(\s*:)")
_LONGEST = 1000


def param_str_fields(param_str: str) -> ParamFields:
    """Fields of a ``param_str`` such as ``'feat_stride': 16``.

    Keys are in lower case and spelled as Faster R-CNN does. At most 1000 characters are read.

    Raises:
        Exception: whatever ``ast.literal_eval`` raises for a text that is no dict of literals.
    """
    text = param_str.replace("!!python/tuple", "").strip().removeprefix("{").removesuffix("}")
    text = _BARE_KEY.sub(r"\1\2'\3'\4", text[:_LONGEST])
    said = ast.literal_eval("{" + text.replace("\n", ",") + "}")
    return {_SAME.get(str(key).lower(), str(key).lower()): value for key, value in said.items()}


def parse_param_str(param_str: str, layer: str, known: Mapping[str, object]) -> ParamFields:
    """The fields of a well-known Python layer.

    Args:
        param_str: the text.
        layer: the layer's class, for the message.
        known: field -> its default; None for a number that has to be written.

    Raises:
        ShapeError: with code python-layer, for another field, or a value of another kind.
    """
    try:
        given = {**known, **param_str_fields(param_str)}
        right = given.keys() == known.keys() and all(
            _fits(given[name], usual) for name, usual in known.items()
        )
    except Exception:
        right, given = False, {}
    if not right:
        raise ShapeError(
            f"`{layer}` takes {', '.join(f'`{name}`' for name in known)}, its `param_str` is "
            f"{param_str[:60]!r}",
            "python_param.param_str",
            ("register another implementation with netc.register_python_layer",),
            code="python-layer",
        )
    return given


def _fits(value: Any, usual: Any) -> bool:
    """Whether a value is a list of positive numbers as the usual one is, or a number or text.

    A number may be negative where the usual one is.
    """
    if isinstance(usual, tuple):
        return bool(value) and all(0 < float(number) <= 2**31 for number in value)
    if isinstance(usual, str):
        return isinstance(value, str)
    least = -(2**31) if isinstance(usual, int | float) and usual < 0 else 0
    return least <= float(value) < 2**31
