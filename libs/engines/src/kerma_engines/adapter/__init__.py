"""What every engine adapter shares: the port, input files, conversion, output map."""
