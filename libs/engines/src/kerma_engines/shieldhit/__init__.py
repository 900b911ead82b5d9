"""SHIELD-HIT12A: input files, output map, command line and progress.

Formats after the SHIELD-HIT12A User's Guide (beam.dat, geo.dat, mat.dat, detect.dat) and input
sets of public projects.
"""
