from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netc
from netc.diagnostics import NetcError
from netc.ops.filler import Filler, fill, filler_fault, parse_filler
from tests.ops.cases import bind_layer

TYPES = ("constant", "gaussian", "positive_unitball", "uniform", "xavier", "msra", "bilinear")
LARGE = (60, 50, 5, 5)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def parsed(text: str) -> Filler:
    layer = bind_layer(
        f'name: "f" type: "DummyData" dummy_data_param {{ data_filler {{ {text} }} }}'
    )
    return parse_filler(layer.get("dummy_data_param").get("data_filler")[0])


@pytest.mark.parametrize("kind", TYPES)
def test_the_same_seed_gives_the_same_float32_array(kind: str) -> None:
    first, second, third = (fill(Filler(kind), (4, 3, 5, 5), rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float32 and first.shape == (4, 3, 5, 5)
    np.testing.assert_array_equal(first, second)
    assert (first != third).any() == (kind not in ("constant", "bilinear"))
    assert first.flags.writeable


def test_constant() -> None:
    assert (fill(Filler(value=0.1), (3, 2), rng()) == np.float32(0.1)).all()
    assert (fill(Filler(), (7,), rng()) == 0).all()


def test_gaussian() -> None:
    array = fill(Filler("gaussian", mean=2, std=0.5), LARGE, rng())
    assert array.mean() == pytest.approx(2, abs=0.02)
    assert array.std() == pytest.approx(0.5, rel=0.02)


def test_sparse_gaussian_keeps_that_many_inputs_of_an_output() -> None:
    array = fill(Filler("gaussian", sparse=15), (100, 2000), rng())
    assert (array != 0).mean() == pytest.approx(0.15, abs=0.01)
    assert array[array != 0].std() == pytest.approx(1, rel=0.02)
    assert (fill(Filler("gaussian", sparse=0), (10, 10), rng()) == 0).all()
    assert (fill(Filler("gaussian", sparse=10), (10, 10), rng()) != 0).all()


def test_uniform() -> None:
    array = fill(Filler("uniform", min=-1, max=3), LARGE, rng())
    assert array.min() >= -1 and array.max() <= 3
    assert array.mean() == pytest.approx(1, abs=0.03)
    assert array.std() == pytest.approx(4 / math.sqrt(12), rel=0.02)


def test_positive_unitball() -> None:
    array = fill(Filler("positive_unitball"), (6, 5, 4), rng())
    assert (array >= 0).all()
    np.testing.assert_allclose(array.reshape(6, -1).sum(axis=1), 1, rtol=1e-5)


NORMS = {"FAN_IN": 50 * 25, "FAN_OUT": 60 * 25, "AVERAGE": 55 * 25}


@pytest.mark.parametrize("norm", NORMS)
def test_xavier_and_msra(norm: str) -> None:
    xavier = fill(Filler("xavier", variance_norm=norm), LARGE, rng())
    assert abs(xavier).max() == pytest.approx(math.sqrt(3 / NORMS[norm]), rel=1e-3)
    assert xavier.std() == pytest.approx(math.sqrt(1 / NORMS[norm]), rel=0.02)
    msra = fill(Filler("msra", variance_norm=norm), LARGE, rng())
    assert msra.std() == pytest.approx(math.sqrt(2 / NORMS[norm]), rel=0.02)
    assert msra.mean() == pytest.approx(0, abs=1e-3)


def test_a_vector_has_its_count_as_fan_out() -> None:
    array = fill(Filler("xavier", variance_norm="FAN_OUT"), (3000,), rng())
    assert abs(array).max() == pytest.approx(math.sqrt(3 / 3000), rel=1e-2)
    array = fill(Filler("xavier"), (3000,), rng())
    assert abs(array).max() == pytest.approx(math.sqrt(3), rel=1e-2)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16])
def test_bilinear_element_by_element(size: int) -> None:
    array = fill(Filler("bilinear"), (2, 1, size, size), rng())
    factor = math.ceil(size / 2)
    centre = (size - 1) / (2.0 * factor)
    for y, x in np.ndindex(size, size):
        wanted = (1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre))
        assert array[:, 0, y, x] == pytest.approx(wanted)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(TYPES),
    shape=st.lists(st.integers(0, 4), max_size=5).map(tuple),
    sparse=st.integers(-1, 3),
)
def test_every_shape_is_filled_or_refused(kind, shape, sparse) -> None:
    filler = Filler(kind, sparse=sparse if kind == "gaussian" else -1)
    fault = filler_fault(filler, shape)
    if fault is None:
        array = fill(filler, shape, rng())
        assert array.shape == shape and array.dtype == np.float32
        assert np.isfinite(array).all()
    else:
        with pytest.raises(NetcError, match="bad-filler"):
            fill(filler, shape, rng())


@pytest.mark.parametrize(
    ("filler", "shape", "wanted"),
    [
        (Filler("bilinear"), (2, 1, 4, 5), "a square kernel, it is 4 by 5"),
        (Filler("bilinear"), (4, 5), "4 axes, it has 2: 4x5"),
        (Filler("gaussian", sparse=3), (2, 9), "`sparse` 3 is more than the 2 outputs"),
        (Filler("xavier"), (), "at least 1 axis"),
        (Filler(), (2, 0), "the shape is 2x0"),
    ],
)
def test_shapes_that_do_not_fit(filler, shape, wanted) -> None:
    assert wanted in (filler_fault(filler, shape) or "")


def test_the_fields_are_read() -> None:
    text = (
        'type: "gaussian" mean: 1 std: 2 sparse: 3 variance_norm: AVERAGE min: -1 max: 5 value: 6'
    )
    wanted = Filler("gaussian", 6, -1, 5, 1, 2, 3, "AVERAGE")
    assert parsed(text) == wanted
    assert parsed("") == Filler()


@pytest.mark.parametrize(
    ("text", "code", "at", "message"),
    [
        ('type: "wavelet"', "unknown-filler", '"wavelet"', "there is no filler `wavelet`"),
        ('type: "Xavier"', "unknown-filler", '"Xavier"', "there is no filler `Xavier`"),
        ('type: "xavier" sparse: 2', "bad-filler", "2", "takes no `sparse`, it is 2"),
        ('type: "gaussian" sparse: -2', "bad-filler", "-2", "at least -1, it is -2"),
        ('type: "gaussian" std: 0', "bad-filler", "0", "greater than 0, it is 0"),
        ('type: "uniform" min: 2', "bad-filler", "2", "`min` 2 is greater than `max` 1"),
        ('type: "msra" msra_coeff: 2', "unsupported-field", "2", "msra_coeff"),
    ],
)
def test_mistakes(text, code, at, message) -> None:
    with pytest.raises(NetcError) as caught:
        parsed(text)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.span.text) == (code, at)
    assert message in diagnostic.message
    assert diagnostic.help


def test_msra_of_leaky_rectifiers() -> None:
    filler = parsed('type: "msra" alpha: 0.5')
    drawn = fill(filler, (400, 50), rng())
    assert drawn.std() == pytest.approx(np.sqrt(2 / 50 / 1.25), rel=0.02)


FROM_FILE = """
input: "x" input_shape { dim: 1 dim: 3 }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2
        weight_filler { type: "file" file: "start.txt" } } }
"""


def test_a_filler_of_numbers_in_a_file(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(FROM_FILE)
    (tmp_path / "start.txt").write_text("1 2 3\n4 5 6.5 7")
    found = netc.compile(str(net), backend="reference").params["ip"][0]
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, 6.5]])


@pytest.mark.parametrize(
    ("numbers", "said"), ((None, "`start.txt` was not found"), ("1 2", "has 2 numbers"))
)
def test_a_file_that_is_absent_or_too_short(tmp_path: Path, numbers: str | None, said: str) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(FROM_FILE)
    if numbers:
        (tmp_path / "start.txt").write_text(numbers)
    with pytest.raises(NetcError, match=said):
        netc.compile(str(net), backend="reference")
    given = {"ip": [np.ones((2, 3), np.float32), np.zeros(2, np.float32)]}
    netc.compile(str(net), given, backend="reference")  # then nobody needs the file
