from __future__ import annotations

from pathlib import Path

from netc.analysis.chain import LayerChain
from netc.analysis.structure import ModuleGroup, chains_of, structure
from tests.analysis.profiles import conv, data, layer, profile_of


def tree(module: ModuleGroup) -> list[object]:
    """Names: chains as texts, modules as (name, path, parts)."""
    return [
        "+".join(item.name for item in part.layers)
        if isinstance(part, LayerChain)
        else (part.name, part.path, tree(part))
        for part in module.parts
    ]


def tree_of(text: str) -> list[object]:
    return tree(structure(profile_of(text)))


def test_what_finishes_a_layer_is_in_its_chain() -> None:
    text = (
        data(1, 3, 8, 8)
        + conv("conv", "data", 4, 3)
        + layer("bn", "BatchNorm", "conv", top="bn")
        + layer("scale", "Scale", "bn", top="bn")
        + layer("relu", "ReLU", "bn", top="out")
        + layer("pool", "Pooling", "out", "pooling_param { kernel_size: 2 }")
    )
    assert tree_of(text) == ["data", "conv+bn+scale+relu", "pool"]


def test_a_value_that_two_layers_read_ends_a_chain() -> None:
    text = (
        data(1, 3, 8, 8)
        + conv("conv", "data", 4, 3)
        + layer("relu", "ReLU", "conv", top="relu")
        + layer("sum", "Eltwise", "conv relu")
    )
    assert [len(chain.layers) for chain in chains_of(profile_of(text))] == [1, 1, 1, 1]


def test_chains_read_and_make_values() -> None:
    text = data(1, 3, 8, 8) + conv("conv", "data", 4, 3) + layer("relu", "ReLU", "conv", top="conv")
    chain = chains_of(profile_of(text))[1]
    assert (chain.inputs, chain.outputs, chain.head.name) == (("data",), ("conv",), "conv")


def test_modules_by_name() -> None:
    text = (
        data(1, 3, 8, 8)
        + conv("stem", "data", 4, 3)
        + conv("a/x", "stem", 4, 1)
        + conv("a/y/p", "stem", 4, 1)
        + conv("a/y/q", "a/y/p", 4, 3)
        + layer("a/out", "Concat", "a/x a/y/q")
        + conv("b/only", "a/out", 2, 1)
        + conv("a/again", "b/only", 2, 1)
        + conv("a/more", "a/again", 2, 1)
    )
    assert tree_of(text) == [
        "data",
        "stem",
        ("a", "a", ["a/x", ("y", "a/y", ["a/y/p", "a/y/q"]), "a/out"]),
        "b/only",
        ("a", "a#2", ["a/again", "a/more"]),
    ]


BLOCKS = (
    data(1, 4, 8, 8)
    + layer("labels", "DummyData", "", "dummy_data_param { shape { dim: 1 } }")
    + conv("res2a_branch1", "data", 4, 1)
    + conv("res2a_branch2a", "data", 4, 1)
    + layer("res2a", "Eltwise", "res2a_branch1 res2a_branch2a")
    + conv("mid", "res2a", 4, 1)
    + conv("left", "mid", 4, 1)
    + layer("join", "Eltwise", "left mid")
    + layer("fc", "InnerProduct", "join", "inner_product_param { num_output: 2 }")
    + layer("loss", "SoftmaxWithLoss", "fc labels")
)


def test_modules_by_shape_where_names_say_nothing() -> None:
    """The label, which is needed at the end, does not make one block of everything."""
    assert tree_of(BLOCKS) == [
        "data",
        "labels",
        ("res2a", "res2a", ["res2a_branch1", "res2a_branch2a", "res2a"]),
        "mid",
        ("join", "join", ["left", "join"]),
        "fc",
        "loss",
    ]


def test_modules_of_public_nets(nets: Path) -> None:
    found = {
        name: [p for p in structure(profile_of(nets / f"{name}.prototxt")).parts]
        for name in ("googlenet", "resnet152", "vgg16", "densenet121")
    }
    modules = {
        name: [p.path for p in parts if isinstance(p, ModuleGroup)] for name, parts in found.items()
    }
    assert [p for p in modules["googlenet"] if p.startswith("inception")] == [
        f"inception_{p}" for p in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    ]
    assert len(modules["resnet152"]) == 3 + 8 + 36 + 3
    assert modules["resnet152"][:4] == ["res2a", "res2b", "res2c", "res3a"]
    assert len(modules["densenet121"]) == 6 + 12 + 24 + 16
    assert modules["vgg16"] == []


def test_every_layer_is_in_the_tree_once(nets: Path) -> None:
    for path in sorted(nets.glob("*.prototxt")):
        profile = profile_of(path)
        names = [item.name for item in structure(profile).layers()]
        assert sorted(names) == sorted(item.name for item in profile.layers)
        assert len(set(names)) == len(names)
