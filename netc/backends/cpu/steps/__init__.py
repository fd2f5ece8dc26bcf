"""Builders: from shapes, views and weights to the steps of a program."""
