from __future__ import annotations

import pytest
from tests.ops.cases import cases_of, check_case, load_case

from netc.ops.loss import OPS

BY_NAME = {op.name: op for op in OPS}


@pytest.mark.parametrize("name", cases_of(*BY_NAME))
def test_golden(name: str) -> None:
    check_case(load_case(name), BY_NAME)
