"""Compatibility interfaces, so that scripts written for other programs run on netc.

``netc.compat.pycaffe`` is Caffe's Python interface, ``netc.compat.opencv`` the part of OpenCV's dnn
module that reads Caffe's nets. See docs/compat.md.
"""
