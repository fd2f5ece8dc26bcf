"""Batches as Caffe's data layers read them: databases, HDF5, lists of images.

A source gives the batch of a pass by the pass's number and by nothing else, so that a run can be
gone on from anywhere, read ahead, and is the same at any number of threads.
"""
