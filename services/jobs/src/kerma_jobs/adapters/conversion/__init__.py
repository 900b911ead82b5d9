"""Conversion of submissions: one process per conversion, behind a fair queue."""
