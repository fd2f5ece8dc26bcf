"""Exports a net and its weights to ONNX, verifies the model, and writes a certificate."""

from __future__ import annotations

import json
from pathlib import Path

from netc.diagnostics import NetcError
from netc.export.onnx import save, to_onnx
from netc.files import replacing
from netc.ir.graph import Graph
from netc.schema.message import Message
from netc.surgery.certificate import CertifiedFiles, certificate
from netc.surgery.loading import loaded
from netc.surgery.opponents import OnnxModel
from netc.surgery.verify import Verification, verify_against
from netc.weights.model import Weights


def model_of(graph: Graph) -> object:
    """The ONNX model, with an open batch size where the net allows it.

    Raises:
        NetcError: as :func:`netc.export.onnx.to_onnx`.
    """
    try:
        return to_onnx(graph, batch="batch")
    except NetcError as error:
        if any(d.code != "batch-misfit" for d in error.diagnostics):
            raise
        return to_onnx(graph)


def export(
    message: Message, weights: Weights, graph: Graph, net: Path, file: Path, target: Path
) -> tuple[list[Path], Verification]:
    """Write the model, and a certificate beside it; returns the files and the verification.

    Args:
        message: the net for inference.
        weights: its arrays.
        graph: the net with its weights.
        net: the net's text, which the certificate names.
        file: the weights file, which the certificate names.
        target: the model's path.

    Raises:
        NetcError: no-onnx-rule, missing-package, and others of :func:`netc.export.onnx.to_onnx`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    written = list(save(model_of(graph), target))
    opponent = OnnxModel(target)
    found = verify_against(loaded(message, weights), opponent, backend="reference")
    subject = CertifiedFiles(net, file, backend="reference")
    made = certificate(subject, opponent, found, target.parent)
    place = target.with_suffix(".certificate.json")
    with replacing(place) as temporary:
        temporary.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return [*written, place], found
