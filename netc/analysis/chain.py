"""A row of layers that a person sees as one."""

from __future__ import annotations

from dataclasses import dataclass

from netc.analysis.profile import Layer


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers in a row, drawn as one box; the first gives it its name."""

    layers: tuple[Layer, ...]

    @property
    def head(self) -> Layer:
        """The layer that the others finish."""
        return self.layers[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Values it reads from outside."""
        made = {name for layer in self.layers for name in layer.outputs}
        read = (name for layer in self.layers for name in layer.inputs)
        return tuple(dict.fromkeys(name for name in read if name not in made))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Values of its last layer."""
        return self.layers[-1].outputs
