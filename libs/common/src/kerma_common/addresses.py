"""Addresses of clients, as limits count them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

IPV6_SITE_BITS = 64
"""A host gets at least a /64 of IPv6 addresses, so these count as one (RFC 6177)."""


def site(address: str) -> str:
    """Return what counts for an address: itself, or the network of an IPv6 host."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> IPV6_SITE_BITS << IPV6_SITE_BITS))
