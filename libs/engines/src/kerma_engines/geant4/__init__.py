"""Geant4 through the bindings of the ``geant4-pybind`` wheel, run in a process of its own."""
