"""netc: a compiler for networks written as text.

net = netc.compile("deploy.prototxt", "net.caffemodel")
out = net(data=array)
"""

from netc.version import __version__

# Nothing of Python's library is imported here: `python -m netc` runs this while the current folder
# is still on the module path (see __main__.py). Type checkers take this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from netc.compiled import CompiledNet
    from netc.diagnostics import Diagnostic, NetcError, NetcWarning, Source, Span
    from netc.driver import compile
    from netc.frontend import read_net
    from netc.gradcheck import check_gradient
    from netc.ops.custom import register_layer, unregister_layer
    from netc.ops.python import register_python_layer
    from netc.predict.predictor import Predictor
    from netc.solver.solver import Solver
    from netc.weights import load_weights, save_weights

__all__ = [
    "CompiledNet",
    "Diagnostic",
    "NetcError",
    "NetcWarning",
    "Predictor",
    "Solver",
    "Source",
    "Span",
    "__version__",
    "check_gradient",
    "compile",
    "load_weights",
    "read_net",
    "register_layer",
    "register_python_layer",
    "save_weights",
    "unregister_layer",
]

_HOME = {
    "CompiledNet": "netc.compiled",
    "Diagnostic": "netc.diagnostics",
    "NetcError": "netc.diagnostics",
    "NetcWarning": "netc.diagnostics",
    "Predictor": "netc.predict.predictor",
    "Solver": "netc.solver.solver",
    "Source": "netc.diagnostics",
    "Span": "netc.diagnostics",
    "check_gradient": "netc.gradcheck",
    "compile": "netc.driver",
    "load_weights": "netc.weights",
    "read_net": "netc.frontend",
    "register_layer": "netc.ops.custom",
    "register_python_layer": "netc.ops.python",
    "save_weights": "netc.weights",
    "unregister_layer": "netc.ops.custom",
}


def __getattr__(name: str) -> object:
    """Public names, loaded when first used: a command that only reads text stays quick."""
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'netc' has no attribute {name!r}")
    found: object = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    """The public names, for completion; they need not be loaded yet."""
    return sorted(__all__)
