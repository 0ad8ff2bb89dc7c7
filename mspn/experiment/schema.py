"""A scale's file as JSON Schema, exported from the typed model, for editors that complete and check YAML."""

from typing import Any

from mspn.experiment.config import Scale

_SIZE = {"type": "string", "pattern": "^[0-9]{1,4}x[0-9]{1,4}$"}


def scale_schema() -> dict[str, Any]:
    """What a scale's file may say. Nothing is required, as ``extends`` may bring it; what ``load_scale``
    finds beyond single values, such as a warm-up longer than its schedule, is not in it.
    """
    schema: dict[str, Any] = _partial(Scale.model_json_schema())
    properties = schema["properties"]
    properties["extends"] = {"type": "string", "description": "the scale that this one changes: name or path"}
    schema["$defs"]["Recipe"]["properties"]["extends"] = {"type": "string"}
    properties["inputs"]["additionalProperties"] = {
        "anyOf": [_SIZE, properties["inputs"]["additionalProperties"]]
    }
    properties["crops"]["anyOf"].append({"const": "store", "type": "string"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _partial(node: Any) -> Any:
    """A schema without what is required; of alternatives, any that fits a part of one."""
    if isinstance(node, list):
        return [_partial(item) for item in node]
    if not isinstance(node, dict):
        return node
    names = {"oneOf": "anyOf"}
    kept = {key: value for key, value in node.items() if key not in ("required", "discriminator")}
    return {names.get(key, key): _partial(value) for key, value in kept.items()}
