"""Surgery on nets: a net's message and its weights in, another message and other weights out.

Nothing here reads or writes files but :mod:`netc.surgery.certificate`, which re-reads what a
certificate names.
"""
