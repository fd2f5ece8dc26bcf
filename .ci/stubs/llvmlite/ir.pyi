"""Part of llvmlite's builder of LLVM code: what netc makes subclasses of."""

from typing import Any

class HalfType: ...

def __getattr__(name: str) -> Any: ...
