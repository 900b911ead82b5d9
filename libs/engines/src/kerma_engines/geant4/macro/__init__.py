"""User-supplied macros: the commands that Geant4 gets, checked and in canonical form."""
