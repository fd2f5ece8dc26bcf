"""What of bfloat16 both its definition and kernels' machine code contain."""

from __future__ import annotations

SMALLEST_BFLOAT16 = float(2.0**-56)
"""What is smaller than this becomes 0 when it is rounded to bfloat16."""
