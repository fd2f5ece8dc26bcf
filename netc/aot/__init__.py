"""A net as an object library with a C interface: it runs without Python and without netc."""
