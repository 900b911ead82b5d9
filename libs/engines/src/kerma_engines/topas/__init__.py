"""TOPAS: parameter file, output map, command line and progress.

Parameters after the TOPAS user guide.
"""
