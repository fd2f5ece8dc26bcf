"""The table of families is what the families define, and nothing is imported that a text lacks."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module

import netc.ops
from netc.ops import homes
from netc.ops.catalog import CATALOG, LAYERS, LazyCatalog, has_role
from netc.ops.define import erased
from netc.ops.python import BUILT_IN, OPS, is_implemented
from netc.ops.role import Role


def defined(attribute: str) -> dict[str, list[str]]:
    """Family -> the names of what it defines, for every module there is."""
    found = {}
    for module in pkgutil.walk_packages(netc.ops.__path__, "netc.ops."):
        family = module.name.removeprefix("netc.ops.")
        listed = getattr(import_module(module.name), attribute, None)
        if listed and family not in ("homes", "catalog") and not family.startswith("gradients"):
            found[family] = list(dict.fromkeys(names_in(listed)))
    return found


def names_in(listed: Iterable[object]) -> Iterable[str]:
    return (name if isinstance(name, str) else name.name for name in listed)  # type: ignore[attr-defined]


def words(table: Mapping[str, str]) -> dict[str, list[str]]:
    return {family: list(dict.fromkeys(names.split())) for family, names in table.items()}


def test_it_names_every_op_of_every_family() -> None:
    assert {**words(homes.OPS), **words(homes.MADE)} == defined("OPS")
    assert words(homes.READINGS) == defined("READINGS")
    assert words(homes.OTHER_NAMES) == defined("OTHER_NAMES")


def test_no_name_has_two_homes() -> None:
    tables = (homes.OPS, homes.READINGS, homes.OTHER_NAMES, homes.MADE)
    names = [name for table in tables for family in words(table).values() for name in family]
    assert len(names) == len({*names})


def test_an_op_has_the_name_it_is_found_by() -> None:
    assert [name for name, op in CATALOG.items() if op.name != name] == []
    others = {name for names in words(homes.OTHER_NAMES).values() for name in names}
    assert {name for name, op in LAYERS.items() if op.name != name} <= others


def test_built_in_python_layers_are_registered_where_the_table_says() -> None:
    for module, layer in BUILT_IN:
        assert is_implemented(module, layer)


def test_a_table_is_a_mapping() -> None:
    (python,) = OPS
    table = LazyCatalog({"Python": lambda name: erased(python)})
    assert list(table) == ["Python"] and len(table) == 1
    assert "Python" in table and "python" not in table
    assert table["Python"] is python and table.get("python") is None
    table.remove("Python")
    assert not table and table.get("Python") is None


def test_unknown_names_have_no_role() -> None:
    assert not has_role("Nothing", Role.POOLING)
    assert has_role("Pooling", Role.POOLING)


FRESH = """
import sys
from netc.ops.catalog import CATALOG, LAYERS, has_role
{code}
print(*sorted(n.removeprefix("netc.ops.") for n in sys.modules if n.startswith("netc.ops.")))
print("numpy" in sys.modules)
"""


def loaded_by(code: str) -> tuple[set[str], bool]:
    """The modules of ops that a new process has after some code, and whether it has NumPy."""
    run = subprocess.run(
        [sys.executable, "-c", FRESH.format(code=code)], capture_output=True, text=True, check=True
    )
    modules, numpy = run.stdout.splitlines()
    return {*modules.split()}, numpy == "True"


def test_names_are_known_without_their_families() -> None:
    modules, _ = loaded_by("assert 'Yolov3' in LAYERS and 'Convolution' in [*CATALOG]")
    assert not modules & {*homes.OPS}


def test_a_lookup_imports_one_family() -> None:
    modules, numpy = loaded_by("LAYERS['LRN']")
    assert modules & {*homes.OPS} == {"lrn"} and not numpy


def test_all_families_can_be_had_without_numpy() -> None:
    """But for the updates of solvers: shape rules need none of it."""
    code = "[LAYERS[name] for name in LAYERS]; [CATALOG[name] for name in catalog]"
    names = [
        name for table in (homes.OPS, homes.READINGS) for f in words(table).values() for name in f
    ]
    modules, numpy = loaded_by(f"catalog = {names!r}; {code}")
    assert modules >= {*homes.OPS} and not numpy


def test_what_looks_through_the_families_imports_them() -> None:
    modules, _ = loaded_by("from netc.ops.catalog import load_families; load_families()")
    assert modules >= {*homes.OPS, *homes.READINGS, *homes.MADE}
