"""docs/serving.md: Triton's model is called as Triton calls it, with a stand-in for its module."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import netc
from netc.data import prototxt_dir
from netc.diagnostics import Source
from netc.syntax.ast import Block, Field, ListValue, Scalar
from netc.syntax.parser import parse_document
from tests.docs.blocks import ROOT, fenced

PAGE = ROOT / "docs" / "serving.md"


class Tensor:
    """As pb_utils.Tensor: a name and an array."""

    def __init__(self, name: str, array: Any) -> None:
        assert isinstance(array, np.ndarray) and array.dtype != object
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._array


class TritonError:
    """As pb_utils.TritonError."""

    def __init__(self, message: str) -> None:
        self._message = message

    def message(self) -> str:
        return self._message


class InferenceResponse:
    """As pb_utils.InferenceResponse."""

    def __init__(self, output_tensors: list[Tensor], error: TritonError | None = None) -> None:
        assert all(isinstance(tensor, Tensor) for tensor in output_tensors)
        self._tensors, self._error = output_tensors, error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


def stand_in() -> ModuleType:
    """The part of triton_python_backend_utils that models use."""

    def get_input_tensor_by_name(request: Any, name: str) -> Tensor | None:
        return next((t for t in request.inputs if t.name() == name), None)

    made = ModuleType("triton_python_backend_utils")
    made.__dict__.update(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=InferenceResponse,
        get_input_tensor_by_name=get_input_tensor_by_name,
    )
    return made


def request(**arrays: Any) -> Any:
    return SimpleNamespace(inputs=[Tensor(name, array) for name, array in arrays.items()])


def file(name: str) -> str:
    """A file that the page writes."""
    head = f"# file: {name}\n"
    (text,) = [block.text for block in fenced(PAGE) if block.text.startswith(head)]
    return text[len(head) :]


def value(given: Scalar | Block | ListValue) -> Iterator[Any]:
    """The values that a field gives, as JSON has them."""
    if isinstance(given, ListValue):
        for item in given.items:
            yield from value(item)
    elif isinstance(given, Block):
        yield plain(given.fields)
    else:
        yield given.value.decode() if isinstance(given.value, bytes) else given.value


def plain(fields: tuple[Field, ...]) -> dict[str, Any]:
    """A text of protobuf as the JSON that Triton makes of it, without what is not given."""
    found: dict[str, Any] = {}
    for field in fields:
        found.setdefault(field.name, []).extend(value(field.value))
    repeated = ("input", "output", "instance_group", "dims", "parameters")
    config = {name: v if name in repeated else v[0] for name, v in found.items()}
    if "parameters" in config:
        config["parameters"] = {entry["key"]: entry["value"] for entry in config["parameters"]}
    return config


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The model's folder, as the page shows it."""
    version = tmp_path / "models/digits/1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(file("config.pbtxt"))
    (version / "model.py").write_text(file("model.py"))
    for name in ("deploy.prototxt", "digits.caffemodel"):
        shutil.copy(prototxt_dir() / "digits" / name, version)
    return version.parent


@pytest.fixture
def config(repository: Path) -> dict[str, Any]:
    text = (repository / "config.pbtxt").read_text()
    return plain(parse_document(Source("config.pbtxt", text)).fields)


@pytest.fixture
def model(repository: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model as Triton makes it: a module of its own, then `initialize` with texts."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stand_in())
    spec = importlib.util.spec_from_file_location("model", repository / "1" / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.TritonPythonModel()
    made.initialize(
        {
            "model_config": json.dumps(config),
            "model_repository": str(repository),
            "model_version": "1",
            "model_name": "digits",
            "model_instance_kind": "CPU",
            "model_instance_device_id": "0",
        }
    )
    return made


def images(*numbers: int) -> Any:
    folder = prototxt_dir() / "digits" / "images"
    read = [np.asarray(Image.open(folder / f"{n}.png").convert("L"), np.float32) for n in numbers]
    return np.stack(read)[:, None] / 255


def test_the_configuration_is_of_the_net(config: dict[str, Any], repository: Path) -> None:
    assert config["name"] == repository.name and config["backend"] == "python"
    net = netc.Predictor(repository / "1/deploy.prototxt", repository / "1/digits.caffemodel")
    assert {e["name"]: tuple(e["dims"]) for e in config["input"]} == net.inputs
    assert {e["name"]: tuple(e["dims"]) for e in config["output"]} == net.outputs
    kinds = {e["data_type"] for e in (*config["input"], *config["output"])}
    assert kinds == {"TYPE_FP32"}


def test_requests_are_answered_each_with_its_own_rows(model: Any) -> None:
    responses = model.execute(
        [request(data=images(3)), request(data=images(7, 1, 4)), request(data=images(0))]
    )
    best = [r.output_tensors()[0].as_numpy().argmax(1).tolist() for r in responses]
    assert best == [[3], [7, 1, 4], [0]]
    assert [t.name() for t in responses[0].output_tensors()] == ["prob"]
    assert not any(response.has_error() for response in responses)


def test_a_request_that_does_not_fit_fails_alone(model: Any) -> None:
    wrong = np.zeros((1, 3, 8, 8), np.float32)
    responses = model.execute([request(data=wrong), request(data=images(5))])
    assert responses[0].has_error() and "(1, 8, 8)" in responses[0].error().message()
    assert responses[1].output_tensors()[0].as_numpy().argmax() == 5
    texts = np.array([["a"] * 64], object).reshape(1, 1, 8, 8)
    (response,) = model.execute([request(data=np.array(texts, str))])
    assert response.has_error()


def test_more_rows_than_a_batch_and_the_end(model: Any) -> None:
    rows = np.repeat(images(9), 75, axis=0)
    (response,) = model.execute([request(data=rows)])
    assert response.output_tensors()[0].as_numpy().argmax(1).tolist() == [9] * 75
    model.finalize()
