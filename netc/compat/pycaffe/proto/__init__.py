"""``caffe.proto``: Caffe's messages as classes of google.protobuf."""
