"""Plain nets to the dialect: repeated blocks become modules and loops."""

from netc.language.collapse.collapse import collapse

__all__ = ["collapse"]
