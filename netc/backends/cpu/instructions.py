"""Which instructions for sums of products in fewer bits a machine has."""

from __future__ import annotations

from netc.backends.cpu.machine import Machine


def has_products(machine: Machine, number: str) -> bool:
    """True if a machine has an instruction for sums of products of a kind of number.

    Args:
        machine: what kernels are made for.
        number: "bf16" (AVX512-BF16) or "int8" (AVX512-VNNI, AVX-VNNI).
    """
    features = set(machine.features.split(","))
    if number == "bf16":
        return "+avx512bf16" in features and machine.width in (8, 16)
    if machine.width == 16:
        return "+avx512vnni" in features
    return machine.width == 8 and bool(features & {"+avxvnni", "+avx512vnni"})
