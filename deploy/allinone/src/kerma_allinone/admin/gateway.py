"""The configuration of a gateway for operators."""

from __future__ import annotations

from kerma_allinone.edge.gateway import GatewaySettings
from kerma_allinone.edge.nginx import Listening, nginx_configuration
from kerma_common.settings import HttpSettings, load


def gateway_configuration(listen: str, certificate: str | None, key: str | None) -> str:
    """Return the configuration of an nginx gateway. Raises SettingsError."""
    listening = Listening(listen, certificate, key)
    return nginx_configuration(load(GatewaySettings), load(HttpSettings), listening)
