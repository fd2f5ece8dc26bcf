"""A chain: a layer and the layers after it that finish its work, shown as one box."""

from __future__ import annotations

from dataclasses import dataclass

from netc.analysis.profile import LayerProfile


@dataclass(frozen=True, slots=True)
class LayerChain:
    """Consecutive layers that are drawn as one box, named after the first."""

    layers: tuple[LayerProfile, ...]

    @property
    def head(self) -> LayerProfile:
        """The first layer, whose work the others finish."""
        return self.layers[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that its layers read and do not produce themselves."""
        made = {name for layer in self.layers for name in layer.outputs}
        read = (name for layer in self.layers for name in layer.inputs)
        return tuple(dict.fromkeys(name for name in read if name not in made))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the values of its last layer."""
        return self.layers[-1].outputs
