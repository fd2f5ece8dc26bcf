"""Parameters read as the type that the op tells: of nodes, stages and gradients."""

from __future__ import annotations

import pytest

from netc.ir.graph import Node
from netc.ops.convolution_params import ConvolutionParams
from netc.ops.fused import Stage
from netc.ops.gradient import GradientParams
from netc.ops.linear import InnerProductParams
from netc.ops.rectifiers import ReLUParams
from netc.ops.reduced import Bfloat16, ReducedParams
from netc.ops.update import RunningParams

HOLDERS = (
    lambda params: Node("layer", "Op", params),
    lambda params: Stage("Op", params),
    lambda params: GradientParams("Op", params, "bottom", 0, ((1,),)),
    lambda params: RunningParams("Op", params),
)


@pytest.mark.parametrize("holder", HOLDERS)
def test_parameters_of_the_type_that_was_asked_for_are_given(holder) -> None:
    params = ReLUParams(0.5)
    assert holder(params).params_as(ReLUParams) is params
    assert holder(params).params_as(InnerProductParams, ReLUParams) is params


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("params", (ReLUParams(), None))
def test_parameters_of_another_type_are_refused(holder, params) -> None:
    with pytest.raises(TypeError, match="type InnerProductParams were expected, not"):
        holder(params).params_as(InnerProductParams)
    with pytest.raises(TypeError, match="InnerProductParams or ConvolutionParams were expected"):
        holder(params).params_as(InnerProductParams, ConvolutionParams)


def test_a_reduced_product_has_the_parameters_of_its_product() -> None:
    product = InnerProductParams(3)
    assert ReducedParams(product, Bfloat16()).params_as(InnerProductParams) is product
