"""Providers of identities, from a small one to Keycloak itself, and people who come from them."""
