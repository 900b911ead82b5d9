"""FLUKA: input file, output map, command line and progress.

Cards after the FLUKA manual: eight columns of name, six fields of ten, eight of text; geometry in
free format with names (COMBNAME).
"""
