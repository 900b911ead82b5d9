"""Keycloak, or another provider of OpenID Connect: keys, access tokens, SSH certificates."""
