"""Monte-Carlo engines as a library, without services: convert, run, monitor, read, merge.

Layers, each of which imports only those below it:

    catalogue                             the engines of a machine
    shieldhit  fluka  topas  geant4       one adapter each: convert, files, read, code, engine
    adapter                               shared by adapters: the port, conversion, input files
    project                               the editor's project
    physics  results                      materials and particles; estimators and merging
    geometry                              figures, bodies, constructive solid geometry

Engines import their code (``code``) when it is first called. Only ``read``, ``transport``, ``catalogue`` and an engine's ``prepare`` touch the file system.
"""
