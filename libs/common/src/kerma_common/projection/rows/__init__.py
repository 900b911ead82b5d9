"""Row operations of projections: what they are, how they fold, how they are written."""
