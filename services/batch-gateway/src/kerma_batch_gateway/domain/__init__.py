"""Rules of clusters; pure."""
