"""The foundation of every service: contracts, event log, projections, processes, HTTP edge."""
