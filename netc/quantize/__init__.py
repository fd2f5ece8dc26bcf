"""Nets computed in int8 within a bound: calibration, the choice of layers, and what it costs.

inputs ──observe──▶ histograms ──scales──▶ codes of each layer's input
       ──errors──▶ each layer's error ──search──▶ the layers that keep the bound ──▶ a file
"""
