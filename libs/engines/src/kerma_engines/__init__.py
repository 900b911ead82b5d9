"""Engines as a library: convert, run, watch, read and merge, without any service.

Rooms, each of which imports only those below it:

    catalogue                             which engines a machine has
    shieldhit  fluka  topas  geant4       one adapter each: convert, files, read, engine
    adapter                               what adapters share: the port, conversion, input files
    project                               the editor's project
    physics  results                      materials and particles; estimators and merging
    geometry                              figures, bodies, constructive geometry

Only ``read``, ``transport``, ``catalogue`` and an engine's ``prepare`` touch the file system.
"""
