"""Code that all engine adapters share: the port, input files, conversion, output map."""
