"""A SolverParameter as immutable settings; unsupported values are errors at their field.

Defaults are the schema's (caffe.proto). Beside each check is the place in BVLC/caffe master, under
src/caffe or include/caffe, that makes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.ops.update_rules import SOLVER_TYPES, LocalRate, UpdateRule
from netc.schema.message import Message
from netc.solver.average_precision import VERSIONS
from netc.solver.ranges import out_of_range
from netc.solver.rates import Policy, read_policy
from netc.train.step import Updating

_WITHOUT_MOMENTUM = ("AdaGrad", "RMSProp")
_EVALUATIONS = ("classification", "detection")
_LOCAL = ("SGD", "Nesterov", "LARS")  # types that take a rate of each parameter's own

# Fields of forks that say where or how training runs there, not what it computes.
_ELSEWHERE = frozenset(
    {
        "solver_mode", "device_id", "device", "engine", "layer_wise_reduce", "per_parameter_reduce",
        "store_blobs_in_old_format", "display_debug", "data_type",
        "solver_data_type", "batchsize", "log_avg_gradient_norm", "snapshot_history_length",
    }
)  # fmt: skip

# Fields read here, by rates.py, by what opens the nets, or by what writes snapshots.
_READ = frozenset(
    {
        "type", "solver_type", "base_lr", "lr_policy", "gamma", "power", "stepsize", "stepvalue",
        "momentum", "momentum2", "rms_decay", "delta", "weight_decay", "regularization_type",
        "clip_gradients", "iter_size", "average_loss", "display", "max_iter", "debug_info",
        "random_seed", "test_iter", "test_interval", "test_initialization", "test_compute_loss",
        "snapshot", "snapshot_prefix", "snapshot_diff", "snapshot_format", "snapshot_after_train",
        "net", "net_param", "train_net", "train_net_param", "test_net", "test_net_param",
        "train_state", "test_state", "weights", "plateau_winsize", "stagelr", "stageiter",
        "warmup_iter", "warmup_start_lr", "rampup_interval", "rampup_lr", "min_lr", "max_lr",
        "period", "p_mult", "lr_mult", "eval_type", "ap_version", "amsgrad", "local_lr_auto",
        "local_gw_ratio", "larc", "larc_eta", "larc_policy", "show_per_class_result",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """A solver's settings, except its nets.

    ``clip_gradients`` below 0 is off. ``display``, ``snapshot`` and ``test_interval`` are in
    iterations, 0 for never. ``random_seed`` is None where the text does not fix it. ``ap_version``
    says how tests of detections are scored; None where tests are means of outputs.
    ``show_per_class_result`` logs the classes' average precisions too.
    """

    rule: UpdateRule
    policy: Policy
    weight_decay: float = 0.0
    regularization: str = "L2"
    clip_gradients: float = -1.0
    iter_size: int = 1
    average_loss: int = 1
    display: int = 0
    max_iter: int = 0
    debug_info: bool = False
    random_seed: int | None = None
    test_iter: tuple[int, ...] = ()
    test_interval: int = 0
    test_initialization: bool = True
    test_compute_loss: bool = False
    snapshot: int = 0
    snapshot_prefix: str = ""
    snapshot_diff: bool = False
    snapshot_format: str = "BINARYPROTO"
    snapshot_after_train: bool = True
    ap_version: str | None = None
    show_per_class_result: bool = False

    @property
    def needs_loss(self) -> bool:
        """Whether an update's learning rate depends on the loss of its own iteration."""
        return self.policy.name == "plateau"

    @property
    def counts_steps(self) -> bool:
        """Whether the policy has steps, whose changes are logged."""
        return self.policy.name in ("multistep", "plateau")

    def displays(self, iteration: int) -> bool:
        """Whether `display` logs this iteration."""
        return bool(self.display) and iteration % self.display == 0


def updating(settings: Settings, *, force_backward: bool) -> Updating:
    """The options of an iteration's graphs; ``force_backward`` is the net's field."""
    return Updating(
        settings.rule,
        settings.weight_decay,
        settings.regularization,
        settings.clip_gradients,
        settings.iter_size,
        force_backward,
    )


def read_settings(solver: Message) -> Settings:
    """The settings of a SolverParameter in the current format.

    Raises:
        NetcError: with every mistake: unknown-solver-type, bad-solver-field, unknown-policy,
            unsupported-solver-field.
    """
    faults: list[Diagnostic] = [
        *_unsupported(solver),
        *out_of_range(solver),
        *_unknown_regularization(solver),
        *_unknown_evaluation(solver),
    ]
    rule, policy = UpdateRule(), None
    try:
        rule = _read_rule(solver)
    except NetcError as error:
        faults += error.diagnostics
    try:
        policy = read_policy(solver)
    except NetcError as error:
        faults += error.diagnostics
    if faults or policy is None:
        raise NetcError(faults)
    return _settings(solver, rule, policy)


def _settings(solver: Message, rule: UpdateRule, policy: Policy) -> Settings:
    get = solver.get
    seed = get("random_seed")
    return Settings(
        rule,
        policy,
        weight_decay=get("weight_decay"),
        regularization=get("regularization_type"),
        clip_gradients=get("clip_gradients"),
        iter_size=get("iter_size"),
        average_loss=max(1, get("average_loss")),
        display=get("display"),
        max_iter=get("max_iter"),
        debug_info=get("debug_info"),
        random_seed=seed if seed >= 0 else None,
        test_iter=get("test_iter"),
        test_interval=get("test_interval"),
        test_initialization=get("test_initialization"),
        test_compute_loss=get("test_compute_loss"),
        snapshot=get("snapshot"),
        snapshot_prefix=get("snapshot_prefix"),
        snapshot_diff=get("snapshot_diff"),
        snapshot_format=get("snapshot_format"),
        snapshot_after_train=get("snapshot_after_train"),
        ap_version=get("ap_version") if get("eval_type") == "detection" else None,
        show_per_class_result=get("show_per_class_result"),
    )


def _read_rule(solver: Message) -> UpdateRule:
    name, get = solver.get("type"), solver.get
    if name not in SOLVER_TYPES:
        raise solver.error(
            "type",
            "unknown-solver-type",
            f"there is no solver type `{name}`",
            *did_you_mean(name, SOLVER_TYPES),
            "solver types are " + ", ".join(f"`{known}`" for known in SOLVER_TYPES),
        )
    if name in _WITHOUT_MOMENTUM and get("momentum"):
        raise _bad(  # sgd_solvers.hpp:76, 96
            solver, "momentum", f"{name} takes no momentum, and `momentum` is {get('momentum'):g}"
        )
    decay = get("rms_decay")
    if name == "RMSProp" and not 0 <= decay < 1:  # sgd_solvers.hpp:98
        raise _bad(solver, "rms_decay", f"`rms_decay` is {decay:g}, and must be in 0 <= x < 1")
    if get("amsgrad") and name != "Adam":
        message = f"`amsgrad` belongs to type `Adam`, and `type` is `{name}`"
        raise _bad(solver, "amsgrad", message)
    numbers = (get("momentum"), get("momentum2"), decay, get("delta"))
    return UpdateRule(name, *numbers, get("amsgrad"), _read_local_rate(solver, name))


def _read_local_rate(solver: Message, name: str) -> LocalRate | None:
    """LARS as intel/caffe asks for it, LARC as NVIDIA/caffe does, or netc's own type `LARS`."""
    get = solver.get
    asked = [field for field in ("local_lr_auto", "larc") if get(field)]
    if len(asked) > 1:
        raise _bad(solver, "larc", "`local_lr_auto` and `larc` are both set")
    if asked and name not in _LOCAL:
        types = ", ".join(f"`{known}`" for known in _LOCAL)
        message = f"`{asked[0]}` goes with types {types}, and `type` is `{name}`"
        raise _bad(solver, asked[0], message)
    if get("larc"):
        policy = get("larc_policy")
        if policy not in ("scale", "clip"):
            message = f"there is no `larc_policy` `{policy}`"
            raise _bad(solver, "larc_policy", message, "scale or clip")
        return LocalRate("larc", get("larc_eta"), 0.0, policy == "clip")
    if asked or name == "LARS":
        return LocalRate("lars", get("local_gw_ratio"), get("weight_decay"))
    return None


def _unknown_regularization(solver: Message) -> tuple[Diagnostic, ...]:
    decay, kind = solver.get("weight_decay"), solver.get("regularization_type")
    if not decay or kind in ("L1", "L2"):  # sgd_solver.cpp:181, looked at with a decay alone
        return ()
    hints = ["L1 or L2"]
    if kind == "decoupled":  # jolibrain/caffe, whose processor and GPU disagree about it
        hints.append('`type: "AdamW"` takes the decay out of the gradient')
    message = f"there is no regularization `{kind}`"
    return _bad(solver, "regularization_type", message, *hints).diagnostics


def _unknown_evaluation(solver: Message) -> tuple[Diagnostic, ...]:
    """SSD's tests: means as Caffe's, or of detections."""
    kind, version = solver.get("eval_type"), solver.get("ap_version")
    if kind not in _EVALUATIONS:
        message = f"there is no `eval_type` `{kind}`"
        return _bad(solver, "eval_type", message, "classification or detection").diagnostics
    if kind == "detection" and version not in VERSIONS:
        message = f"there is no `ap_version` `{version}`"
        return _bad(solver, "ap_version", message, ", ".join(VERSIONS)).diagnostics
    return ()


def _unsupported(solver: Message) -> list[Diagnostic]:
    """Fields that would change the numbers and that netc does not know how to obey."""
    return [
        Diagnostic(
            "unsupported-solver-field",
            f"`{name}` is a field of some forks that netc does not train by",
            solver.name_span_of(name),
            help=("remove it, if its default is meant",),
        )
        for name in solver.entries
        if name not in _READ | _ELSEWHERE and not _is_default(solver, name)
    ]


def _is_default(solver: Message, name: str) -> bool:
    return bool(solver.get(name) == solver.type.fields[name].default)


def _bad(solver: Message, field: str, message: str, *help: str) -> NetcError:
    return solver.error(field, "bad-solver-field", message, *help)
