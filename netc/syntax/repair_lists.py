"""Repair of errors within ``[ ... ]``: a list of values, of blocks, or an extension's name."""

from __future__ import annotations

from netc.syntax.pieces import CLOSERS, OPENERS, SCALARS, LocatedToken
from netc.syntax.reading import ParserState
from netc.syntax.wording import shown

_BEYOND = {*CLOSERS, "$END"}
_STARTS_VALUE = {"COLON", *OPENERS}


class ListRepair(ParserState):
    """A reading that repairs errors in lists."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._comma_told: LocatedToken | None = None

    def opening_bracket(self) -> LocatedToken:
        """The ``[`` of the current list."""
        found = (s for s in reversed(self.stack.symbols) if isinstance(s, LocatedToken))
        return next((piece for piece in found if piece.terminal == "LSQB"), self.here)

    def names_field(self) -> bool:
        """Whether the current token is the name of a field."""
        name = self.here.terminal in ("IDENTIFIER", "NONFINITE")
        return name and self.next.terminal in _STARTS_VALUE

    def unclosed_list(self) -> None:
        """Report unclosed-bracket, or mismatched-brace, and insert the closing bracket."""
        bracket, here = self.opening_bracket(), self.here
        if here.terminal in CLOSERS and self.braces.surplus > 0:
            message = f"the list is closed by `{here.text}`, expected `]`"
            if self.report("mismatched-brace", message, here):
                self.note("it starts here", bracket)
            self.replace("RSQB", "]")
            return
        message = "the list that starts here is never closed"
        self.report("unclosed-bracket", message, bracket, help="close it with `]`")
        self.insert("RSQB", "]")

    # --- after an item: `,` or `]` must come

    def mend_after_item(self) -> None:
        """Repair an item with neither comma nor bracket behind it."""
        here = self.here
        if here.terminal == "COLON" and self.top_is("IDENTIFIER", "NONFINITE"):
            self.stack.pop(2 if self.tops("COMMA", "IDENTIFIER") else 1)
            self.at -= 1
            self.unclosed_list()
        elif here.terminal in _BEYOND or self.names_field():
            self.unclosed_list()
        elif here.terminal in SCALARS or here.terminal in ("MINUS", *OPENERS):
            self.missing_comma()
        elif here.terminal == "SEMICOLON":
            self.report("unexpected-token", "the values of a list are parted by `,`, not `;`", here)
            self.replace("COMMA", ",")
        else:
            message = f"expected `,` or `]`, found {shown(here)}"
            self.report("unexpected-token", message, here)
            self.drop()

    def missing_comma(self) -> None:
        """Report missing-comma between two items, once a list, and insert it."""
        bracket, here = self.opening_bracket(), self.here
        if bracket is not self._comma_told:
            message = f"expected `,` or `]`, found {shown(here)}"
            help = "the values of a list are parted by `,`"
            self.report("missing-comma", message, here, help=help)
        self._comma_told = bracket
        self.insert("COMMA", ",")

    # --- after `[` or `,`: an item must come

    def mend_item(self) -> None:
        """Repair a list where an item should come and does not."""
        here = self.here
        if self.trailing_comma():
            return
        if here.terminal == "LSQB":
            self.list_in_list()
        elif here.terminal in _BEYOND:
            self.pop_comma()
            self.unclosed_list()
        elif here.terminal == "COLON":
            self.report("unexpected-token", "a list holds values, no fields", here)
            self.drop()
        else:
            self.report("unexpected-token", f"expected a value, found {shown(here)}", here)
            self.mistrust_line(here)
            self.drop()
            self.insert("IDENTIFIER", "")

    def trailing_comma(self) -> bool:
        """Report and remove a comma before the closing bracket; returns whether there was one."""
        comma = self.top()
        if comma is None or comma.terminal != "COMMA" or self.here.terminal != "RSQB":
            return False
        self.report("unexpected-token", "no value follows this `,`", comma, help="delete it")
        self.stack.pop(1)
        return True

    def pop_comma(self) -> None:
        """Pop a comma off the stack."""
        if self.top_is("COMMA"):
            self.stack.pop(1)

    def list_in_list(self) -> None:
        """Report a further ``[`` in a list; a nested list is skipped, a single bracket dropped."""
        self.report("unexpected-token", "a list holds values, no further lists", self.here)
        depth, at = 0, self.at
        for at in range(self.at, len(self.pieces)):
            kind = self.pieces[at].terminal
            depth += (kind == "LSQB") - (kind == "RSQB")
            if depth == 0 or kind in _BEYOND:
                break
        if self.pieces[min(at + 1, len(self.pieces) - 1)].terminal not in ("COMMA", "RSQB"):
            self.drop()
            return
        while self.at <= at:
            self.drop()
        self.insert("IDENTIFIER", "")

    # --- `name [`: only blocks may come where no colon stands

    def mend_block_list(self) -> None:
        """Repair a list without a colon that holds something other than blocks."""
        here = self.here
        if self.trailing_comma():
            return
        if here.terminal in _BEYOND:
            self.pop_comma()
            self.unclosed_list()
        elif self.tops("LSQB") and (here.terminal in SCALARS or here.terminal == "MINUS"):
            bracket = self.top() or here
            message = f"expected `:` after `{self.name}`, found `[`"
            self.report("missing-colon", message, bracket, help=f"write `{self.name}: [`")
            self.stack.pop(1)
            self.at -= 1
            self.insert("COLON", ":")
        elif here.terminal in OPENERS:
            self.missing_comma()
        else:
            self.report("unexpected-token", f"expected a block, found {shown(here)}", here)
            self.drop()

    # --- `[` where a name should be: an extension's name

    def mend_extension(self) -> None:
        """Report a ``[`` that no extension's name follows."""
        bracket = self.opening_bracket()
        message = f"expected an extension's name after `[`, found {shown(self.here)}"
        help = "a list of values stands behind `name:`"
        self.report("unexpected-token", message, bracket, help=help)
        self.mistrust_line(bracket)
        self.forget_extension()
        while self.pieces[self.at - 1] is not bracket:
            self.at -= 1
        if not self.names_field():
            self.drop_text()

    def forget_extension(self) -> None:
        """Pop ``[`` and what follows it off the stack."""
        while self.stack.symbols and not self.tops("LSQB"):
            self.stack.pop(1)
        self.stack.pop(1)
