"""Geant4 through the bindings of the ``geant4-pybind`` wheel, run in a separate process."""
