"""What crosses a service boundary: events, envelope, subjects, identifiers. Pure."""
