"""What LLVM says that an x86 processor can do, by its name: asked by compiling what it would use.

llvmlite tells the features of this machine alone. An instruction that LLVM does not have for a
processor ends the process where it is asked for by name; so small functions are compiled here whose
arithmetic LLVM does by the instruction where there is one, and by others where there is not.
"""

from __future__ import annotations

from functools import cache
from typing import Any

_HEAD = '#0 = {{ "min-legal-vector-width"="512" "target-cpu"="{cpu}" }}'
_MULTIPLY_ADDS = f"""
define <16 x float> @probe(<16 x float> %a, <16 x float> %b, <16 x float> %c) #0 {{{{
  %r = call <16 x float> @llvm.fma.v16f32(<16 x float> %a, <16 x float> %b, <16 x float> %c)
  ret <16 x float> %r
}}}}
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
attributes {_HEAD}
"""
_INT8_PRODUCTS = f"""
define i32 @probe(<64 x i8> %a, <64 x i8> %b) #0 {{{{
  %x = zext <64 x i8> %a to <64 x i32>
  %y = sext <64 x i8> %b to <64 x i32>
  %p = mul <64 x i32> %x, %y
  %r = call i32 @llvm.vector.reduce.add.v64i32(<64 x i32> %p)
  ret i32 %r
}}}}
declare i32 @llvm.vector.reduce.add.v64i32(<64 x i32>)
attributes {_HEAD}
"""
_BFLOAT16 = f"""
define <8 x bfloat> @probe(<8 x float> %a) #0 {{{{
  %r = fptrunc <8 x float> %a to <8 x bfloat>
  ret <8 x bfloat> %r
}}}}
attributes {_HEAD}
"""


@cache
def vectors_of(triple: str, cpu: str) -> str:
    """The widest vectors of a processor: "avx512", "avx2" or "plain"."""
    text = _assembly(_MULTIPLY_ADDS, triple, cpu)
    if "zmm" in text:
        return "avx512"
    return "avx2" if "ymm" in text and "vfmadd" in text else "plain"


@cache
def features_of(triple: str, cpu: str) -> str:
    """LLVM's feature string of the instructions for products in fewer bits that a processor has."""
    found = []
    products = _assembly(_INT8_PRODUCTS, triple, cpu)
    if "vpdpbusd" in products:
        found.append("+avxvnni" if "{vex}" in products else "+avx512vnni")
    if "vcvtneps2bf16" in _assembly(_BFLOAT16, triple, cpu):
        found.append("+avx512bf16")
    return ",".join(found)


def _assembly(text: str, triple: str, cpu: str) -> str:
    llvm = initialise_all()
    module = llvm.parse_assembly(text.format(cpu=cpu))
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    return str(machine.emit_assembly(module))


def initialise_all() -> Any:
    """The module llvmlite.binding with the code generators of all targets initialised."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm
