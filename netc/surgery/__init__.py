"""Net surgery: a NetParameter and its weights in, another NetParameter and weights out.

Nothing here reads or writes files except :mod:`netc.surgery.certificate`, which re-reads the files
that a certificate names.
"""
