"""How much a text may expand to. Each limit is many times what the largest known net needs."""

from __future__ import annotations

MAX_LAYERS = 20_000
"""Of the plain net. DenseNet-264 has 1,300."""

MAX_STEPS = 100_000
"""Statements run, uses made and items gone through, in one expansion; ResNet-152 takes 3,800."""

MODULE_STEPS = 4
"""What a module's use counts as, so that what grows by recursion alone ends as soon as a loop."""

MAX_USES = 64
"""Modules within each other."""

MAX_NESTING = 50
"""Blocks, parentheses and operators within each other, in the text."""

MAX_INCLUDES = 16
"""Files within each other."""

MAX_BITS = 256
"""Of a whole number."""

MAX_STRING = 10_000
"""Characters."""

MAX_LIST = 10_000
"""Items."""
