"""Layers that forks of Caffe added, but for those of detectors."""
