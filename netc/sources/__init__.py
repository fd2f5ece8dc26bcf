"""The batches of Caffe's data layers: databases, HDF5, lists of images.

A batch depends on the number of its pass only, so that a run can be resumed at any pass, batches
can be read ahead, and results do not depend on the number of threads.
"""
