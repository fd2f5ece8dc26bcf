"""Schemas: message types of Caffe and its forks, and bound messages; independent of layers."""
