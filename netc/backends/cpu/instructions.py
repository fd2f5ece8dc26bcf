"""Which instructions for sums of products in fewer bits a machine has."""

from __future__ import annotations

from netc.backends.cpu.machine import Machine

# Number and floats of a vector -> features, any of which does.
_FEATURES = {
    ("bf16", 8): ("avx512bf16",),
    ("bf16", 16): ("avx512bf16",),
    ("int8", 8): ("avxvnni", "avx512vnni"),
    ("int8", 16): ("avx512vnni",),
}


def feature_for(machine: Machine, number: str) -> str | None:
    """The feature, by LLVM's and GCC's name, with which a machine sums products; None: it has none.

    Args:
        machine: what kernels are made for.
        number: "bf16" (AVX512-BF16) or "int8" (AVX512-VNNI, AVX-VNNI).
    """
    own = set(machine.features.split(","))
    wanted = _FEATURES.get((number, machine.width), ())
    return next((name for name in wanted if f"+{name}" in own), None)


def has_products(machine: Machine, number: str) -> bool:
    """True if a machine has an instruction for sums of products of a kind of number."""
    return feature_for(machine, number) is not None
