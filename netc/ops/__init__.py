"""What layers mean: one module for each family of layer types, ``catalog.py`` lists them all."""
