"""The OpenAPI document as a judge of real answers."""

from __future__ import annotations

from typing import Any

import orjson
from jsonschema import Draft202012Validator

from kerma_allinone.edge.openapi import openapi_document
from kerma_common.http.refusals.statuses import EVENT_STREAM


def closed(schema: Any) -> Any:
    """Return a schema that admits no properties beside those that it names."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def event_validator(path: str) -> Draft202012Validator:
    """Return what validates an event of a stream, a dictionary of its fields with parsed data."""
    document = orjson.loads(openapi_document())
    shown = document["paths"][path]["get"]["responses"]["200"]["content"][EVENT_STREAM]
    event = shown["schema"]["contentSchema"]["items"]
    components = {"schemas": closed(document["components"]["schemas"])}
    return Draft202012Validator({**event, "components": components})
