"""The grammars for editors in ``docs/editor/``."""
