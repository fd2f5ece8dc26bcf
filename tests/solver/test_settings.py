"""Solvers' texts as settings: defaults, the public form of each field, and what is refused."""

from __future__ import annotations

import pytest

from netc.diagnostics import NetcError
from netc.ops.update_rules import SOLVER_TYPES
from tests.solver.texts import GOLDEN, golden_settings, settings

FIXED = 'base_lr: 0.1 lr_policy: "fixed" '
CASES = sorted(
    path.name.removesuffix("_solver.prototxt") for path in GOLDEN.glob("*_solver.prototxt")
)


def refused(text: str) -> list[tuple[str, str]]:
    with pytest.raises(NetcError) as caught:
        settings(text)
    return [(found.code, found.message) for found in caught.value.diagnostics]


def test_defaults_are_caffes() -> None:
    found = settings(FIXED)
    rule = found.rule
    assert (rule.name, rule.momentum) == ("SGD", 0)
    numbers = (rule.momentum2, rule.rms_decay, rule.delta)
    assert numbers == pytest.approx((0.999, 0.99, 1e-8))
    assert (found.clip_gradients, found.iter_size, found.average_loss) == (-1, 1, 1)
    assert found.test_initialization and found.snapshot_after_train
    assert found.random_seed is None


@pytest.mark.parametrize("case", CASES)
def test_what_caffe_trained_by_is_taken(case: str) -> None:
    assert golden_settings(case).rule.name in SOLVER_TYPES


def test_both_spellings_of_a_type() -> None:
    assert settings(FIXED + "solver_type: ADAM").rule.name == "Adam"
    assert settings(FIXED + 'type: "Nesterov"').rule.name == "Nesterov"


def test_a_regularization_is_looked_at_with_a_decay_alone() -> None:
    assert settings(FIXED + 'regularization_type: "L3"').regularization == "L3"
    assert refused(FIXED + 'regularization_type: "L3" weight_decay: 0.1') == [
        ("bad-solver-field", "there is no regularization `L3`")
    ]


def test_every_fault_is_told_at_once() -> None:
    text = 'lr_policy: "cosine" type: "Adamix" iter_size: 0 larc_turbo: true'
    assert [code for code, _ in refused(text)] == [
        "unsupported-solver-field",
        "bad-solver-field",
        "unknown-solver-type",
        "unknown-policy",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'type: "AdaGrad" momentum: 0.9',
            "AdaGrad takes no momentum, and `momentum` is 0.9",
        ),
        (
            'type: "RMSProp" rms_decay: 1',
            "`rms_decay` is 1, and must be in 0 <= x < 1",
        ),
        ("test_interval: -1", "`test_interval` is -1, and must be at least 0"),
    ],
)
def test_what_caffe_checks(text: str, message: str) -> None:
    assert refused(FIXED + text) == [("bad-solver-field", message)]


def test_a_forks_field_that_changes_numbers_is_refused_and_others_are_not() -> None:
    assert refused(FIXED + "clamp_weights_lower: -1") == [
        (
            "unsupported-solver-field",
            "`clamp_weights_lower` is a field of some forks that netc does not train by",
        )
    ]
    assert settings(FIXED + "larc: false show_per_class_result: true device_id: 3")


@pytest.mark.parametrize("field", ["momentum", "weight_decay", "clip_gradients", "gamma", "delta"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_numbers_are_finite(field: str, number: str) -> None:
    found = refused(FIXED + f"{field}: {number}")
    assert found == [("bad-solver-field", f"`{field}` is {number}, and must be finite")]


@pytest.mark.parametrize("number", [0, -2])
def test_a_test_has_passes(number: int) -> None:
    message = f"`test_iter` is {number}, and must be at least 1"
    assert refused(FIXED + f"test_iter: 1 test_iter: {number}") == [("bad-solver-field", message)]


def test_periods_that_shrink_to_nothing_are_refused() -> None:
    text = 'base_lr: 0.1 lr_policy: "sgdr" period: 4 p_mult: 0.5'
    message = "policy `sgdr` needs `p_mult` of at least 1, and it is 0.5"
    assert refused(text) == [("bad-solver-field", message)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('amsgrad: true type: "SGD"', "`amsgrad` belongs to type `Adam`, and `type` is `SGD`"),
        ("larc: true local_lr_auto: true", "`local_lr_auto` and `larc` are both set"),
        (
            'larc: true type: "Adam"',
            "`larc` goes with types `SGD`, `Nesterov`, `LARS`, and `type` is `Adam`",
        ),
        ('larc: true larc_policy: "auto"', "there is no `larc_policy` `auto`"),
    ],
)
def test_fields_that_do_not_go_together(text: str, message: str) -> None:
    assert refused(FIXED + text) == [("bad-solver-field", message)]
