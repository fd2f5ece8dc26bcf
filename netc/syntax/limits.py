"""How large a text may be. Each limit is many times what the largest public net needs."""

from __future__ import annotations

from netc.diagnostics import MAX_REPORTED

MAX_BYTES = 32 << 20
"""Of a file, and characters of a text."""

MAX_TOKENS = 1_000_000
"""Of a text: ResNet-152 has 15,000. A million takes about 300 MB and two seconds."""

MAX_DEPTH = 100
"""Blocks within blocks; protobuf's own readers stop at the same depth."""

MAX_ERRORS = MAX_REPORTED
"""Looked for in one text."""
