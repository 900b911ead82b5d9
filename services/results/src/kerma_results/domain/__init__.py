"""Rules of result sets; pure."""
