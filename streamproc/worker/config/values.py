"""Types of values that several tables of a config have: msgspec reads their bounds, people their names."""

from typing import Annotated, TypeAlias

from msgspec import Meta

__all__ = ["Count", "Host", "Port", "Seconds", "Text"]

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
Host: TypeAlias = Annotated[str, Meta(min_length=1, description="address to listen on; loopback unless given")]
