"""What every service stands on: contracts, event log, projections, processes, edges."""
