"""Migrates a whole Caffe project: finds, upgrades and verifies its texts, weights and scripts."""
