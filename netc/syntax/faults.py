"""Lexical errors: what is wrong with a token by itself, before the grammar is applied.

``legal_pieces`` reports them and puts a legal token in the place of each, so that the rest of the
text can be parsed as if there were none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from netc.diagnostics import Source
from netc.syntax import foreign
from netc.syntax.conflicts import without_conflicts
from netc.syntax.lexed import Lexed
from netc.syntax.limits import MAX_DEPTH, MAX_TOKENS
from netc.syntax.literals import BadEscapeError, string_value
from netc.syntax.pieces import CLOSERS, OPENERS, LocatedToken, pieces
from netc.syntax.placeholders import bind_piece, bind_string, glue, unresolved
from netc.syntax.wording import character, short


def legal_pieces(source: Source, define: Mapping[str, str]) -> Lexed:
    """The tokens of a text, all of them legal, and its lexical errors.

    A text that exceeds a limit has that one error alone and no token but ``$END``.
    """
    lexed = Lexed(source)
    unknown: list[LocatedToken] = []
    for piece in without_conflicts(lexed, glue(pieces(source.text))):
        lexed.pieces += _legal(lexed, piece, define)
        if lexed.pieces and lexed.pieces[-1].unknown and piece.terminal == "PLACE":
            unknown.append(lexed.pieces[-1])
        if len(lexed.pieces) > MAX_TOKENS:
            return _over(source, piece, "too-large", f"more than {MAX_TOKENS:,} tokens")
    if unknown and not lexed.untrusted:
        lexed.faults.append(unresolved(source, unknown, define))
    deep = None if lexed.untrusted else _too_deep(lexed.pieces)
    if deep:
        return _over(source, deep, "too-deep", f"blocks nest deeper than {MAX_DEPTH}")
    return lexed


def _over(source: Source, piece: LocatedToken, code: str, message: str) -> Lexed:
    lexed = Lexed(source, [LocatedToken("$END", "", len(source.text), len(source.text))])
    lexed.report(code, message, piece.begin, piece.stop)
    lexed.untrusted = True
    return lexed


def _too_deep(found: Iterable[LocatedToken]) -> LocatedToken | None:
    depth = 0
    for piece in found:
        if piece.terminal in OPENERS:
            depth += 1
            if depth > MAX_DEPTH:
                return piece
        elif piece.terminal in CLOSERS:
            depth = max(0, depth - 1)
    return None


def _legal(lexed: Lexed, piece: LocatedToken, define: Mapping[str, str]) -> list[LocatedToken]:
    """What is to be read in a word's place."""
    kind = piece.terminal
    if kind == "PLACE":
        return bind_piece(piece, define)
    if kind == "STRING":
        return [_string(lexed, piece, define)]
    rule = _RULES.get(kind)
    return rule(lexed, piece) if rule else [piece]


def _string(lexed: Lexed, piece: LocatedToken, define: Mapping[str, str]) -> LocatedToken:
    try:
        string_value(piece.text)
    except BadEscapeError as bad:
        escape = piece.text[bad.start : bad.end]
        lexed.report(
            "bad-escape",
            f"`{escape}` is no escape a string may hold",
            piece.begin + bad.start,
            piece.begin + bad.end,
            (_ESCAPE_HELP,),
        )
        return _stand_in("STRING", piece)
    if define:
        return LocatedToken("STRING", bind_string(piece.text, define), piece.begin, piece.stop)
    return piece


_ESCAPE_HELP = "a backslash is written `\\\\`; in a path, `/` will do"


def _stand_in(terminal: str, piece: LocatedToken) -> LocatedToken:
    """A legal token in a fault's place."""
    return LocatedToken(terminal, '""' if terminal == "STRING" else "0", piece.begin, piece.stop)


def _unterminated(lexed: Lexed, piece: LocatedToken) -> list[LocatedToken]:
    """A string that its line ends in; closing braces at the line's end still count."""
    quote = piece.text[0]
    lexed.report(
        "unterminated-string",
        f"the string that starts here has no closing `{quote}` on its line",
        piece.begin,
        piece.stop,
        (f"put `{quote}` where it ends, or `\\n` where it goes on in a new line",),
    )
    return [_stand_in("STRING", piece), *_swallowed(piece)]


def _swallowed(piece: LocatedToken) -> list[LocatedToken]:
    """The braces that a string without its end took in, as far as they close or open a block."""
    body = piece.text.rstrip()
    if body.endswith("{"):
        return [LocatedToken("LBRACE", "{", piece.stop - 1, piece.stop)]
    tail = re.search(r"[}\s]*\Z", body)
    start = tail.start() if tail else len(body)
    count = body.count("}") - body.count("{")
    at = [i for i in range(start, len(body)) if body[i] == "}"]
    kept = at[len(at) - max(0, min(count, len(at))) :]
    return [LocatedToken("RBRACE", "}", piece.begin + i, piece.begin + i + 1) for i in kept]


def _foreign(lexed: Lexed, piece: LocatedToken) -> list[LocatedToken]:
    """A sign of another alphabet; the one that is meant is read in its place."""
    sign = foreign.meant(piece.text)
    message, help = f"{character(piece.text)} is no sign of prototxt", f"write `{sign}`"
    lexed.report("bad-character", message, piece.begin, piece.stop, (help,))
    terminal = _TERMINALS.get(sign)
    return [LocatedToken(terminal, sign, piece.begin, piece.stop)] if terminal else []


_TERMINALS = {
    ":": "COLON", ",": "COMMA", ".": "DOT", "{": "LBRACE", "<": "LESSTHAN", "[": "LSQB",
    "-": "MINUS", ">": "MORETHAN", "}": "RBRACE", "]": "RSQB", ";": "SEMICOLON", "/": "SLASH",
}  # fmt: skip


def _blank(lexed: Lexed, piece: LocatedToken) -> list[LocatedToken]:
    """A blank that is none of prototxt's; the first of a text tells of all."""
    message = f"{character(piece.text)} is no blank that separates words"
    if not any(fault.message == message for fault in lexed.faults):
        help = "write a blank for each of them; texts copied from web pages have such"
        lexed.report("bad-character", message, piece.begin, piece.stop, (help,))
    return []


def _curly(lexed: Lexed, piece: LocatedToken) -> list[LocatedToken]:
    mark = next(c for c in (piece.text[0], piece.text[-1]) if c not in "\"'")
    lexed.report(
        "bad-character",
        f'`{mark}` is a typographic quotation mark; a string stands in `"`',
        piece.begin,
        piece.stop,
        ('replace both marks by `"`',),
    )
    return [_stand_in("STRING", piece)]


def _number(lexed: Lexed, piece: LocatedToken) -> list[LocatedToken]:
    text = piece.text
    why, help = _number_fault(text)
    shown = text if len(text) <= 40 else text[:37] + "..."
    lexed.report("bad-number", f"`{shown}` is no number: {why}", piece.begin, piece.stop, (help,))
    return [_stand_in("INTEGER", piece)]


def _number_fault(text: str) -> tuple[str, str]:
    digits = text.lstrip("+-")
    if len(text) > 400:
        return f"it has {len(text)} characters", "write it with an exponent, as in `1e9`"
    if text[0] == "+":
        return "a number has no `+` before it", f"write `{digits}`"
    if re.fullmatch(r"0[0-9]+", digits):
        return "a leading 0 makes it octal, without digits 8 and 9", f"write `{digits.lstrip('0')}`"
    if re.fullmatch(r"[0-9.]+[eE][+-]?", digits):
        return "its exponent has no digits", f"write `{digits.rstrip('eE+-')}` or add them"
    if re.fullmatch(r"0[xX]", digits):
        return "nothing stands behind `0x`", "write the hexadecimal digits"
    if digits.replace("_", "").isdigit():
        return "its digits are not parted by `_`", f"write `{text.replace('_', '')}`"
    if digits.count(".") > 1 and not re.search("[A-Za-z]", digits):
        return f"it has {digits.count('.')} points", "write one of them"
    return f"`{_rest(digits)}` cannot follow its digits", 'put a text in quotes: `"..."`'


def _rest(digits: str) -> str:
    found = re.match(r"[0-9]*\.?[0-9]*", digits)
    return digits[found.end() :] if found else digits


def _comment(lexed: Lexed, piece: LocatedToken) -> list[LocatedToken]:
    mark = piece.text[:2]
    seen = any(f.code == "c-comment" for f in lexed.faults)
    if not seen or mark == "/*":
        help = "start the comment with `#`" if mark == "//" else "start each of its lines with `#`"
        end = piece.begin + len(piece.text.splitlines()[0])
        message = f"a comment starts with `#`, not with `{mark}`"
        lexed.report("c-comment", message, piece.begin, end, (help,))
    return []


def _template(lexed: Lexed, piece: LocatedToken) -> list[LocatedToken]:
    if not lexed.untrusted:
        lexed.report(
            "template",
            f"{short(piece.text)} belongs to a Jinja template, which must be rendered first",
            piece.begin,
            piece.stop,
            ("render it with the script it came with, and give netc what that writes",),
        )
    lexed.untrusted = True
    return []


_RULES = {
    "UNTERMINATED": _unterminated,
    "CURLY": _curly,
    "BLANK": _blank,
    "FOREIGN": _foreign,
    "NUMBER": _number,
    "COMMENT": _comment,
    "TEMPLATE": _template,
}
