"""Plain nets to the dialect: what repeats becomes modules and loops."""

from netc.language.collapse.collapse import collapse

__all__ = ["collapse"]
