"""Prototxt text and its untyped syntax tree; knows nothing of Caffe's schema."""
