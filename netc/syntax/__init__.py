"""Prototxt text and its untyped tree; knows nothing of Caffe."""
