from typing import Any

class Type:
    name: str
    def __init__(self, name: str) -> None: ...
    def __call__(self, *arguments: Type) -> Any: ...  # the signature of a function that returns it
    def __getattr__(self, name: str) -> Any: ...  # fields of literals, tuples and vectors

class _Real(Type):
    def __call__(self, x: float, /) -> float: ...  # type: ignore[override]

class _Integer(Type):
    def __call__(self, x: float, /) -> int: ...  # type: ignore[override]

class UniTuple(Type):
    def __init__(self, dtype: Type, count: int) -> None: ...

class NamedUniTuple(Type):
    def __init__(self, dtype: Type, count: int, cls: type) -> None: ...

class Tuple(Type):
    def __init__(self, types: list[Type]) -> None: ...

class NamedTupleClass(Type):
    def __init__(self, cls: type) -> None: ...

class Number(Type): ...

def literal(value: object) -> Type: ...
def unliteral(kind: Type) -> Type: ...

none: Type
boolean: Type
float32: _Real
float64: _Real
int64: _Integer
