"""Engines as a library: convert, run, watch, read and merge, without any service.

Each engine has a folder of the same shape: ``convert`` (editor project to input files and an
explicit output map), ``command`` (argument list, seed, environment), ``monitor`` (lines to
progress) and ``read`` (result files to estimators). Nothing but ``read`` and ``command`` touches
the file system.
"""
