"""Translation between the dialects: a call goes to endpoints that do not speak its dialect.

Pure rules over typed values, no I/O. The values are in `hub`; each dialect has a package with its
readers and writers. See docs/decisions/047.
"""
