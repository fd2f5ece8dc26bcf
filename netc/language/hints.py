"""Hints for constructs of other languages: what people write, and its equivalent here."""

from __future__ import annotations

_MODULE = "a module is `module NAME(parameters): inputs -> outputs { ... }`"
_LET = "a value gets a name by `let NAME = value`"
_LOOP = "a loop is `repeat n { ... }` or `repeat i in 0..n { ... }`"
_INCLUDE = 'another file is taken in by `include "file.netc"`'

WORDS: dict[str, str] = {
    **dict.fromkeys(("def", "fn", "func", "function", "fragment", "macro", "class"), _MODULE),
    **dict.fromkeys(("const", "var", "val", "set", "define"), _LET),
    **dict.fromkeys(("while", "loop", "foreach"), _LOOP),
    **dict.fromkeys(("import", "from", "use", "require"), _INCLUDE),
    **dict.fromkeys(("elif", "elseif", "elsif"), "write `else if`"),
    "return": "a module's output is given its value: `y = x -> relu`",
    "assert": "a blob's shape is checked by `expect BLOB: [1, 64, _, _]`",
    "parameter": "a parameter is `param NAME: int = 3`",
}
"""Words that start no statement here -> what to write."""

LAYERS: dict[str, str] = {
    **dict.fromkeys(("convolution", "conv2d", "convolve"), "conv"),
    **dict.fromkeys(("deconvolution", "transposed", "convtranspose"), "deconv"),
    **dict.fromkeys(("dense", "linear", "innerproduct", "inner_product", "ip"), "fc"),
    **dict.fromkeys(("maxpool", "max_pool", "pooling", "maxpooling"), "pool"),
    **dict.fromkeys(("avgpool", "avg_pool", "averagepool", "meanpool"), "avepool"),
    **dict.fromkeys(("gap", "globalavgpool", "global_pool", "avgpool_global"), "globalpool"),
    **dict.fromkeys(("bn", "batch_norm", "batchnormalization"), "batchnorm"),
    **dict.fromkeys(("norm", "local_response_norm"), "lrn"),
    **dict.fromkeys(("concatenate", "cat", "join"), "concat"),
    **dict.fromkeys(("sum", "eltwise", "plus"), "add"),
    "drop": "dropout",
    "leakyrelu": "relu(negative_slope: 0.1)",
    "leaky_relu": "relu(negative_slope: 0.1)",
    "relu6": "ReLU6",
    "softmaxwithloss": "loss",
}
"""What layers are called elsewhere, in small letters -> the short form here."""

SIGNS: dict[str, str] = {
    "&": "the word is `and`",
    "|": "the word is `or`; branches side by side are a list: `[x -> a, x -> b] -> concat`",
    "!": "the word is `not`",
    "?": "one of two values is `a if condition else b`",
    "//": "a comment starts with `#`",
    "/": "a comment starts with `#`",
    ";": "a statement ends where the next one starts, without a `;`",
    "|>": "a chain has arrows: `x -> relu`",
}
"""Signs that have no meaning where they stand -> what to write."""
