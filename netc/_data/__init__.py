"""Data files of an installed netc: schemas and networks."""
