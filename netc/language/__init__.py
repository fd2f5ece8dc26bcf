"""netc's own words on top of prototxt: parameters, modules, loops, chains (docs/language.md)."""
