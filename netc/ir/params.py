"""A layer's parameters: their type follows from the layer's op, which nodes have by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, overload

P = TypeVar("P")
Q = TypeVar("Q")


class HasParams:
    """What holds the parameters of a layer whose op is known by its name alone: a node, a stage.

    ``params`` is the op's own frozen dataclass, or None where it has none. Code that knows which op
    it deals with reads it through :meth:`params_as`; code for any op hands it to the op's rules.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def params(self) -> object:
            """The op's own parameters."""

    @overload
    def params_as(self, kind: type[P], /) -> P: ...
    @overload
    def params_as(self, kind: type[P], other: type[Q], /) -> P | Q: ...
    def params_as(self, *kinds: type[object]) -> object:
        """The parameters, which are of this type, or of one of these two.

        Raises:
            TypeError: they are of another type: whoever reads them takes the op for another.
        """
        params = self.params
        if isinstance(params, kinds):
            return params
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"parameters of type {wanted} were expected, not {type(params).__name__}")
