"""Non-ASCII characters that word processors, web pages and input methods put in place of ASCII."""

from __future__ import annotations

import re

_LETTERFORMS = {chr(0xFF01 + i): chr(0x21 + i) for i in range(94)}  # full-width forms of ASCII

SIGNS: dict[str, str] = {
    **{wide: sign for wide, sign in _LETTERFORMS.items() if not sign.isalnum()},
    **dict.fromkeys("→⟶⇒➔➜➝➞⟹↦", "->"),
    **dict.fromkeys("‐‑‒–—−﹣", "-"),
    **dict.fromkeys("×∗·✕", "*"),
    **dict.fromkeys("÷∕", "/"),
    **dict.fromkeys("、，﹐", ","),
    **dict.fromkeys("；﹔", ";"),
    **dict.fromkeys("：︰﹕∶", ":"),
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "…": "...",
}
"""A sign -> the one that is meant."""

BLANKS = "\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
"""Blanks that are no blank of ASCII, as a class of a regular expression."""

OPENING, CLOSING = "“”„‟«»‘’‚‛「『", "“”„‟«»‘’‚‛」』"
QUOTED = (
    f'[{OPENING}][^{OPENING}{CLOSING}\r\n"]*[{CLOSING}"]'
    f"|\"[^\"\\\\\r\n{CLOSING}]*[“”„‟]|'[^'\\\\\r\n{CLOSING}]*[‘’‚‛]"
)
"""A string in typographic marks, or one mark of each kind, as a regular expression."""

ONE = re.compile(f"[{re.escape(''.join(SIGNS))}]")


def meant(text: str) -> str:
    """The ASCII sign that a foreign character stands for; empty where there is none."""
    if len(text) == 2 and text[1] == ">" and SIGNS.get(text[0]) == "-":  # half an arrow
        return "->"
    return SIGNS.get(text, "")
