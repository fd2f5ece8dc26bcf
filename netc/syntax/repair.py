"""Syntax errors of a text, each reported once, with error recovery.

Where a token is not legal, the error is named by what would be legal and what came; then a token is
inserted, skipped or replaced, so that the rest can be parsed.
"""

from __future__ import annotations

import re

from netc.diagnostics import Diagnostic
from netc.syntax.lexed import Lexed
from netc.syntax.limits import MAX_ERRORS
from netc.syntax.pieces import CLOSERS, OPENERS, SCALARS, LocatedToken
from netc.syntax.repair_lists import ListRepair
from netc.syntax.wording import character, short, shown

_STARTS_VALUE = {"COLON", *OPENERS}
_UNQUOTED = {"SLASH", "DOT", "MINUS", "$OTHER"}
_MAX_REPAIRS = 10 * MAX_ERRORS
_ATTEMPTS = 8
"""Repairs at one token before it is left out."""

_APART = 2
"""Tokens of a line that must make sense before it can hold a second fault."""

_FAR = 10_000
"""Tokens that are looked at ahead."""

_QUOTE = 'put a text in quotes: `"..."`'


def grammar_faults(lexed: Lexed) -> list[Diagnostic]:
    """Every syntax error of a text, in the order in which they are met."""
    return [] if lexed.untrusted else Repair(lexed).run()


class Repair(ListRepair):
    """Reports each syntax error and repairs it; see the module's docstring."""

    def run(self) -> list[Diagnostic]:
        """Parse to the end, or until there are too many errors; returns the errors."""
        repairs, attempts, last, line = 0, 0, -1, 0
        while not self.done and repairs < _MAX_REPAIRS and len(self.faults) <= MAX_ERRORS:
            if self.shift():
                continue
            repairs += 1
            attempts = attempts + 1 if self.at == last else 0
            last, before, line = self.at, line, self.line(self.here.begin)
            self.follows = self.steps < _APART and line == before
            self.steps = 0
            if attempts < _ATTEMPTS:
                self.mend()
            else:
                self.drop()
        return self.faults

    def mend(self) -> None:
        """Report the current error, by what would be legal here, and repair it."""
        if self.here.terminal == "$END" and self.braces.opened:
            self.unclosed_block()
        elif self.can("COLON"):
            self.mend_after_name()
        elif self.can("COMMA") and self.can("RSQB"):
            self.mend_after_item()
        elif self.can("FLOAT"):
            self.mend_value() if self.top_is("COLON", "MINUS") else self.mend_item()
        elif self.can("LBRACE"):
            self.mend_block_list()
        elif self.can("LSQB"):
            self.mend_field()
        else:
            self.mend_extension()

    def unclosed_block(self) -> None:
        """Report the block that the text ends in; what else is unfinished follows from it."""
        fault = self.braces.unclosed()
        if fault.span and fault.span.line not in self.mistrusted:
            self.faults.append(fault)
        self.at = len(self.pieces)

    # --- after a field's name: `:` or a block must come

    def mend_after_name(self) -> None:
        """Repair a name that has neither colon nor block."""
        here, name = self.here, self.name_before()
        if here.terminal == "$OTHER" and here.text == "=":
            message = f"expected `:` after `{name}`, found `=`"
            self.report("missing-colon", message, here, help="write `:` for `=`")
            self.replace("COLON", ":")
        elif here.terminal == "$OTHER" and not here.text[0].isprintable():
            self.bad_character()
        elif here.terminal in (*CLOSERS, "RSQB") and self.next.terminal in _STARTS_VALUE:
            self.stray_closer()
        elif here.terminal in _UNQUOTED and self.continues_name():
            self.bad_name()
        elif here.terminal in (*SCALARS, "MINUS", "PLACEHOLDER") and not self.names_field():
            message = f"expected `:` after `{name}`, found {shown(here)}"
            self.report("missing-colon", message, here, help=f"write `{name}: {here.text}`")
            self.insert("COLON", ":")
        elif here.terminal == "$OTHER" and self.follows_on_line():
            self.bad_character()
        else:
            self.name_alone(name)

    def name_before(self) -> str:
        """The name on top of the stack."""
        top = self.top()
        return top.text if top and top.terminal != "RSQB" else "the extension's name"

    def continues_name(self) -> bool:
        """Whether the current token touches the name before it and a colon follows on the line."""
        top = self.top()
        if top is None or top.stop != self.here.begin:
            return False
        line = self.line(self.here.begin)
        for piece in self.pieces[self.at : self.at + 20]:
            if self.line(piece.begin) != line or piece.terminal == "$END":
                return False
            if piece.terminal in _STARTS_VALUE:
                return True
        return False

    def bad_name(self) -> None:
        """Report bad-name for ``kernel-size: 3``, a name with a character that none can have."""
        top, first, last = self.top() or self.here, self.here, self.here
        while self.here.terminal not in _STARTS_VALUE:
            last = self.here
            self.drop()
        name = short(self.source.text[top.begin : last.stop])
        message = f"a field's name holds letters, digits and `_`, but {name} has {shown(first)}"
        meant = re.sub(r"[^0-9A-Za-z_]+", "_", self.source.text[top.begin : last.stop])
        self.report("bad-name", message, top, last, help=f"write `{meant}`")

    def name_alone(self, name: str) -> None:
        """Repair a name with nothing behind it.

        It is a field without a value, or a block whose opening brace is missing where a closing
        brace too many is to come.
        """
        top = self.top() or self.here
        word = self.word_before(top)
        if word:
            text = short(self.source.text[word.begin : top.stop])
            self.report("unquoted-text", f"expected a value, found {text}", word, top, _QUOTE)
        elif self.names_field() and self.braces.surplus > 0:
            opener, brace = self.opener_ahead(self.at)
            message = f"expected `{brace}` after `{name}`, found {shown(self.here)}"
            self.report("missing-brace", message, top, help=f"write `{name} {brace}`")
            self.insert(opener, brace)
            return
        else:
            help = f"write `{name}: ...`, or `{name} {{ ... }}` for a block"
            if name in ("TRAIN", "TEST"):
                help = f"a layer of one phase has `include {{ phase: {name} }}`"
            self.report("missing-value", f"`{name}` has no value", top, help=help)
        self.forget_name()

    def opener_ahead(self, at: int) -> tuple[str, str]:
        """Terminal and text of the brace that matches the next closing one without a partner."""
        depth = 0
        for piece in self.pieces[at : at + _FAR]:
            depth += (piece.terminal in OPENERS) - (piece.terminal in CLOSERS)
            if depth < 0:
                return ("LESSTHAN", "<") if piece.terminal == "MORETHAN" else ("LBRACE", "{")
        return "LBRACE", "{"

    def word_before(self, top: LocatedToken) -> LocatedToken | None:
        """The first word where the top of the stack is the second of ``name: two words``."""
        before = self.pieces[self.at - 2] if self.at > 1 else None
        if before is None or before.terminal != "IDENTIFIER" or before.unknown:
            return None
        return before if self.line(before.begin) == self.line(top.begin) else None

    def forget_name(self) -> None:
        """Pop the name off the stack."""
        if self.tops("RSQB"):
            self.forget_extension()
        else:
            self.stack.pop(1)

    # --- after a colon: a value must come

    def mend_value(self) -> None:
        """Repair a field without a legal value behind its colon."""
        here = self.here
        if self.top_is("MINUS"):
            message = f"`-` stands before a number only, not before {shown(here)}"
            self.report("bad-number", message, self.top() or here)
            self.stack.pop(1)
        elif here.terminal == "COLON" or (here.terminal == "$OTHER" and here.text == "="):
            message = f"`{here.text}` follows the colon of `{self.name}`"
            self.report("unexpected-token", message, here, help=f"leave `{here.text}` out")
            self.drop()
        elif here.terminal in _UNQUOTED and self.follows_on_line():
            self.unquoted(here)
            self.insert("IDENTIFIER", "")
        elif here.terminal in (*CLOSERS, "COMMA", "SEMICOLON", "RSQB") and self.value_next():
            self.report("unexpected-token", f"expected a value, found {shown(here)}", here)
            self.drop()
        else:
            self.no_value(2)
            self.insert("IDENTIFIER", "")

    def value_next(self) -> bool:
        """Whether a value, and not a field's name, is behind the current token on its line."""
        value = self.next
        if self.line(value.begin) != self.line(self.here.begin):
            return False
        behind = self.pieces[min(self.at + 2, len(self.pieces) - 1)].terminal
        scalar = value.terminal in (*SCALARS, "MINUS") and behind not in _STARTS_VALUE
        return scalar or value.terminal in ("LSQB", *OPENERS)

    def no_value(self, depth: int) -> None:
        """Report missing-value for a field with a colon and nothing behind it.

        ``depth`` is where its name is on the stack.
        """
        colon = self.top(depth - 1) or self.here
        name = self.stack.first(depth) or colon
        text = self.source.text[name.begin : colon.begin].strip()
        help = f"write one behind the colon, or delete {short(text)}"
        self.report("missing-value", f"{short(text)} has no value", name, colon, help)

    def unquoted(self, first: LocatedToken) -> None:
        """Report unquoted-text for ``source: a/b`` and skip its words from ``first`` on."""
        last = self.drop_text()
        text = short(self.source.text[first.begin : last.stop])
        self.report("unquoted-text", f"expected a value, found {text}", first, last, _QUOTE)
        self.mistrust_line(first)

    # --- between fields: a name, the block's end, or the text's

    def mend_field(self) -> None:
        """Repair another token where a field's name should be."""
        here = self.here
        if here.terminal in CLOSERS:
            self.wrong_closer()
        elif here.terminal in _STARTS_VALUE:
            self.nameless()
        elif self.continues_text():
            self.unquoted(self.top() or here)
        elif here.terminal == "$OTHER":
            self.bad_character()
        else:
            self.unexpected()

    def nameless(self) -> None:
        """Report missing-name for a colon or block without a name."""
        here = self.here
        if self.tops("COLON", "IDENTIFIER"):
            self.after_word()
            return
        kind = "field" if here.terminal == "COLON" else "block"
        self.report("missing-name", f"a {kind} has no name before `{here.text}`", here)
        if kind == "field" or self.braces.surplus >= 0:
            self.insert("IDENTIFIER", "")
        elif self.top_is(*OPENERS) and self.opener_ahead(self.at + 1)[0] == here.terminal:
            self.stack.pop(1)
            self.braces.opened.pop()
        else:
            self.drop()

    def after_word(self) -> None:
        """``a: b:``: either ``a`` has no value, and ``b`` is a name, or the colon is too many."""
        here, top = self.here, self.top() or self.here
        stray_colon = here.terminal == "COLON" and not self.value_next()
        stray_brace = here.terminal in OPENERS and self.braces.surplus < 0 and self.after_value()
        if self.next.terminal in ("SLASH", "$OTHER") and self.after_value():
            self.unquoted(top)
        elif stray_colon or stray_brace:
            message, help = f"`{here.text}` follows a value", f"leave `{here.text}` out"
            self.report("unexpected-token", message, here, help=help)
            self.drop()
        else:
            self.no_value(3)
            self.stack.pop(3)
            self.at -= 1

    def after_value(self) -> bool:
        """Whether a field's value was read last, on the current line."""
        colon = self.top(2)
        return colon is not None and colon.terminal == "COLON" and self.follows_on_line()

    def continues_text(self) -> bool:
        """Whether the current token belongs to a value that lacks its quotes."""
        top, here = self.top(), self.here
        if top is None or not self.after_value():
            return False
        if top.terminal == "IDENTIFIER" and not top.unknown:
            return here.terminal in (*_UNQUOTED, *SCALARS)
        return here.terminal in _UNQUOTED and top.stop == here.begin

    def unexpected(self) -> None:
        """Report a value, a comma or a bracket where a name should be."""
        here, help = self.here, ""
        if here.terminal in SCALARS and self.top_is("COMMA", *SCALARS):
            name = self.stack.first(2 if self.top_is("COMMA") else 3)
            which = short(name.text) if name and name.terminal == "IDENTIFIER" else "a field"
            help = f"{which} has one value already; several stand in `[a, b]`"
        message = f"expected a field's name, found {shown(here)}"
        if here.terminal == "RSQB":
            message = "`]` closes nothing"
        code = "stray-brace" if here.terminal == "RSQB" else "unexpected-token"
        self.report(code, message, here, help=help)
        self.mistrust_line(here)
        self.drop()

    def bad_character(self) -> None:
        """Report bad-character for a character that no token has."""
        here = self.here
        help = "a field is `name: value` or `name { ... }`; a comment starts with `#`"
        message = f"{character(here.text)} has no meaning here"
        self.report("bad-character", message, here, help=help)
        self.mistrust_line(here)
        self.drop()

    def wrong_closer(self) -> None:
        """Report a closing brace that closes nothing, or a block of the other kind."""
        here, opened = self.here, self.braces.opened
        if not opened or (self.braces.surplus > 0):
            self.stray_closer()
            return
        block, wanted = opened[-1], OPENERS[opened[-1].brace.terminal]
        closer = "RBRACE" if wanted == "}" else "MORETHAN"
        fits = any(OPENERS[other.brace.terminal] == here.text for other in opened)
        if self.braces.surplus < 0 and fits:
            message = f"the block `{block.head}` is never closed"
            self.report("unclosed-brace", message, block.brace, help=f"close it with `{wanted}`")
            self.insert(closer, wanted)
            return
        message = f"`{block.head}` is closed by `{here.text}`, expected `{wanted}`"
        if self.report("mismatched-brace", message, here):
            self.note(f"`{block.head}` is opened here", block.brace)
        self.replace(closer, wanted)

    def stray_closer(self) -> None:
        """Report stray-brace for a closing brace with no block to close."""
        here = self.here
        told = self.report("stray-brace", f"`{here.text}` closes nothing", here, help="delete it")
        if told and self.braces.closed:
            block, brace = self.braces.closed[-1]
            self.note(f"`{block.head}` was closed here", brace)
        self.drop()
