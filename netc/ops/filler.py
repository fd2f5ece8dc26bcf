"""How a layer's weights are filled when none are given (filler.hpp)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ir.graph import Array
from netc.ir.types import Shape, count, show
from netc.numeric import np
from netc.ops.fields import reject_unknown_fields
from netc.ops.forks.gabor import gabor, gabor_fault
from netc.schema.message import Message


@dataclass(frozen=True, slots=True)
class Filler:
    """A filler's parameters, as in Caffe's FillerParameter; the names are its fields'.

    ``parts`` are the fillers of equal parts of an array along its first axis, which forks fill one
    by one; no text can name it. ``alpha`` is caffe-windows': the slope below zero of the rectifiers
    behind an `msra`. ``file`` is caffe_pp2's, of filler `file`: a text whose ``numbers`` these are
    once it has been read (netc.lower.files).
    """

    type: str = "constant"
    value: float = 0.0
    min: float = 0.0
    max: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    sparse: int = -1
    variance_norm: str = "FAN_IN"
    alpha: float = 0.0
    file: str = ""
    width: int = 0
    height: int = 0
    expectation_option: str = "xy"
    parts: tuple[Filler, ...] = ()
    numbers: tuple[float, ...] = ()


CONSTANT_ZERO = Filler()
CONSTANT_ONE = Filler(value=1.0)


def parse_filler(message: Message) -> Filler:
    """The filler a FillerParameter message describes.

    Raises:
        NetcError: unknown-filler, at the type, when Caffe has no filler of that name;
            bad-filler, at the field, for a value that the filler does not take.
    """
    names = [f.name for f in fields(Filler) if f.name not in ("parts", "numbers")]
    reject_unknown_fields(message, *names)
    known = {name: message.get(name) for name in names if name in message.type.fields}
    filler = Filler(**known)
    if filler.type not in _FILL:
        listed = ", ".join(f"`{name}`" for name in _FILL)
        raise message.error(
            "type",
            "unknown-filler",
            f"there is no filler `{filler.type}`",
            *(did_you_mean(filler.type, _FILL) or (f"the fillers are {listed}",)),
        )
    _check_values(filler, message)
    return filler


def in_parts(*fillers: Filler) -> Filler:
    """A filler of an array whose equal parts along the first axis have fillers of their own."""
    if all(filler == fillers[0] for filler in fillers) and fillers[0].type == "constant":
        return fillers[0]
    return Filler("parts", parts=fillers)


def _part_shape(filler: Filler, shape: Shape) -> Shape:
    return (shape[0] // len(filler.parts), *shape[1:])


def _check_values(filler: Filler, message: Message) -> None:
    fault = _value_fault(filler)
    if fault:
        raise message.error(fault[0], "bad-filler", fault[1], fault[2])


def _value_fault(filler: Filler) -> tuple[str, str, str] | None:
    """The field, the broken rule and the remedy, where a value is not one the filler takes."""
    gaussian = filler.type == "gaussian"
    if filler.sparse != -1 and not gaussian:
        return (
            "sparse",
            f"filler `{filler.type}` takes no `sparse`, it is {filler.sparse}",
            'remove `sparse` or use `type: "gaussian"`',
        )
    if filler.sparse < -1:
        return "sparse", f"`sparse` must be at least -1, it is {filler.sparse}", "-1 means dense"
    if gaussian and not filler.std > 0:
        return (
            "std",
            f"`std` must be greater than 0, it is {filler.std:g}",
            f'for a constant use `type: "constant" value: {filler.mean:g}`',
        )
    if filler.type == "file" and not filler.file:
        return "type", "filler `file` needs a `file`", 'add `file: "numbers.txt"`'
    if filler.file and filler.type != "file":
        return "file", f"filler `{filler.type}` takes no `file`", 'remove it or use `type: "file"`'
    if filler.type == "expectation" and filler.expectation_option not in _EXPECTED:
        known = ", ".join(f'"{name}"' for name in _EXPECTED)
        fault = f'there is no expectation "{filler.expectation_option}"'
        return "expectation_option", fault, f"it is one of {known}"
    if filler.type == "expectation" and min(filler.width, filler.height) < 1:
        name = "width" if filler.width < 1 else "height"
        fault = f"`{name}` must be at least 1, it is {getattr(filler, name)}"
        return name, fault, "they are those of the map whose mean place the layer gives"
    if filler.type == "uniform" and not filler.min <= filler.max:
        fault = f"`min` {filler.min:g} is greater than `max` {filler.max:g}"
        return "min", fault, "`min` is 0 and `max` is 1 unless written"
    return None


def filler_fault(filler: Filler, shape: Shape) -> str | None:
    """Why Caffe would not fill an array of this shape with this filler; None where it would."""
    if count(shape) == 0:
        return f"a filler needs an array with elements, the shape is {show(shape)}"
    if filler.parts:
        part = _part_shape(filler, shape)
        return next(filter(None, (filler_fault(each, part) for each in filler.parts)), None)
    if filler.type == "bilinear":
        return _bilinear_fault(shape)
    if filler.type == "file" and len(filler.numbers) < count(shape):
        had = (
            f"has {len(filler.numbers)} numbers" if filler.numbers else "was not found or is empty"
        )
        return f"`{filler.file}` {had}, and {show(shape)} needs {count(shape)}"
    if filler.type == "expectation":
        return _expectation_fault(filler, shape)
    if filler.type == "gabor":
        return gabor_fault(shape)
    if filler.type == "gaussian" and filler.sparse >= 0:
        return _sparse_fault(filler, shape)
    if filler.type in ("positive_unitball", "xavier", "msra") and not shape:
        return f"filler `{filler.type}` needs an array of at least 1 axis, it has 0"
    return None


def _bilinear_fault(shape: Shape) -> str | None:
    if len(shape) != 4:
        return f"filler `bilinear` needs an array of 4 axes, it has {len(shape)}: {show(shape)}"
    if shape[2] != shape[3]:
        return f"filler `bilinear` needs a square kernel, it is {shape[2]} by {shape[3]}"
    return None


def _expectation_fault(filler: Filler, shape: Shape) -> str | None:
    wanted = (len(_EXPECTED[filler.expectation_option]), filler.width * filler.height)
    if shape != wanted:
        return (
            f'filler `expectation` "{filler.expectation_option}" of {filler.height} by '
            f"{filler.width} fills an array of {show(wanted)}, it is {show(shape)}"
        )
    return None


def _sparse_fault(filler: Filler, shape: Shape) -> str | None:
    if not shape:
        return "filler `gaussian` with `sparse` needs an array of at least 1 axis, it has 0"
    if filler.sparse > shape[0]:
        return f"`sparse` {filler.sparse} is more than the {shape[0]} outputs"
    return None


def generator(name: str, seed: int) -> np.random.Generator:
    """A generator of random numbers that depends on ``name`` and ``seed`` alone.

    A parameter so gets the same numbers whatever else is filled, and in whatever order.
    """
    words = np.frombuffer(hashlib.sha256(name.encode("utf-8", "replace")).digest(), "<u4")
    return np.random.default_rng([abs(seed), *words.tolist()])


def fill(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    """A new float32 array of ``shape`` filled as ``filler`` says.

    The distributions are Caffe's, the random numbers are ``rng``'s own: the same generator state
    gives the same array.

    Raises:
        NetcError: bad-filler, when the filler cannot fill this shape.
    """
    fault = filler_fault(filler, shape)
    if fault:
        raise NetcError(Diagnostic("bad-filler", fault))
    if filler.parts:
        part = _part_shape(filler, shape)
        return np.concatenate([fill(each, part, rng) for each in filler.parts])
    with np.errstate(all="ignore"):
        return _FILL[filler.type](filler, shape, rng)


def _constant(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    return np.full(shape, filler.value, dtype=np.float32)


def _uniform(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    return _between(filler.min, filler.max, shape, rng)


def _between(low: float, high: float, shape: Shape, rng: np.random.Generator) -> Array:
    drawn = _draw(rng.random, shape)
    drawn *= np.float32(high - low)
    drawn += np.float32(low)
    return np.minimum(drawn, np.float32(high), out=drawn)


def _normal(mean: float, std: float, shape: Shape, rng: np.random.Generator) -> Array:
    drawn = _draw(rng.standard_normal, shape)
    drawn *= np.float32(std)
    drawn += np.float32(mean)
    return drawn


def _draw(draw: Callable[..., Array], shape: Shape) -> Array:
    """Random float32 numbers; always an array, also for the shape ()."""
    drawn = np.empty(shape, dtype=np.float32)
    draw(out=drawn, dtype=np.float32)
    return drawn


def _gaussian(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    drawn = _normal(filler.mean, filler.std, shape, rng)
    if filler.sparse >= 0:
        drawn *= _draw(rng.random, shape) < filler.sparse / shape[0]
    return drawn


def _positive_unitball(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    drawn = _draw(rng.random, shape).reshape(shape[0], -1)
    drawn /= drawn.sum(axis=1, keepdims=True)
    return drawn.reshape(shape)


def _xavier(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    scale = math.sqrt(3.0 / _fan(filler, shape))
    return _between(-scale, scale, shape, rng)


def _msra(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    """He et al. 2015 (arXiv:1502.01852), equation 15."""
    fan = _fan(filler, shape) * (1 + filler.alpha**2)
    return _normal(0.0, math.sqrt(2.0 / fan), shape, rng)


def _fan(filler: Filler, shape: Shape) -> float:
    total = count(shape)
    fan_in = total // shape[0]
    fan_out = total // shape[1] if len(shape) > 1 else total
    by_norm = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}
    return by_norm[filler.variance_norm]


def _bilinear(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    width = shape[3]
    half = math.ceil(width / 2)
    centre = (width - 1) / (2 * half)
    ramp = (1 - abs(np.arange(width) / half - centre)).astype(np.float32)
    return np.broadcast_to(np.outer(ramp, ramp), shape).astype(np.float32)


def _of_file(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    return np.array(filler.numbers[: count(shape)], np.float32).reshape(shape)


# Of cbfinn/caffe: which axis of a map (0 its rows, 1 its columns) an output is the mean place
# along, and whether it is that place's square, with a minus.
_EXPECTED: Mapping[str, tuple[tuple[int, bool], ...]] = {
    "x": ((1, False),),
    "y": ((0, False),),
    "xy": ((1, False), (0, False)),
    "-x^2y^2": ((1, True), (0, True)),
}


def _expectation(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    """Places from -1 to 1: an inner product with a map of probabilities gives its mean place."""
    sizes = (filler.height, filler.width)
    rows = []
    for axis, squared in _EXPECTED[filler.expectation_option]:
        place = 2 * (np.arange(sizes[axis], dtype=np.float32) / np.float32(sizes[axis] - 1) - 0.5)
        place = np.expand_dims(-place * place if squared else place, 1 - axis)
        rows.append(np.broadcast_to(place, sizes).reshape(-1))
    return np.stack(rows).astype(np.float32)


def _gabor(filler: Filler, shape: Shape, rng: np.random.Generator) -> Array:
    return gabor(shape)


_FILL: Mapping[str, Callable[[Filler, Shape, np.random.Generator], Array]] = {
    "constant": _constant,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "uniform": _uniform,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
    "file": _of_file,
    "expectation": _expectation,
    "gabor": _gabor,
}
