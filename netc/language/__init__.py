"""netc's dialect, a superset of prototxt: parameters, modules, loops, chains (docs/language.md)."""
