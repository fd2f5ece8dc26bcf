"""Layers of detectors: boxes, priors, proposals, pooled regions, losses and lists of detections."""
