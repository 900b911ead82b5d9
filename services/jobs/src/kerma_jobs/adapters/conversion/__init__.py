"""Converting what users submit: one process per conversion, and a fair queue in front of them."""
