"""A tool's result, as a person reads it: its texts are printed, and its bytes go into files."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click


def said(result: Mapping[str, Any]) -> str:
    """The texts of a result, a blank line apart; what has no text is named."""
    parts = [_text(item) for item in _items(result)]
    if not parts and "structuredContent" in result:
        return json.dumps(result["structuredContent"], ensure_ascii=False, indent=2)
    return "\n".join(parts)


def _items(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = result.get("content")
    return [item for item in content if isinstance(item, Mapping)] if isinstance(content, list) else []


def _text(item: Mapping[str, Any]) -> str:
    kind = item.get("type")
    if kind == "text":
        return str(item.get("text", ""))
    resource = item.get("resource")
    if kind == "resource" and isinstance(resource, Mapping):
        text = resource.get("text")
        return str(text) if text is not None else f"[{resource.get('mimeType', 'bytes')}: {resource.get('uri', '')}]"
    if kind == "resource_link":
        return f"[{item.get('uri', '')}]"
    return f"[{item.get('mimeType', kind)}]"


def saved(result: Mapping[str, Any], output: Path) -> list[Path]:
    """Write the bytes of a result to `output`, the second to a file beside it with -2, and so on; the files written.

    Raises click.ClickException.
    """
    written = []
    for number, data in enumerate(_bytes(result), 1):
        path = output if number == 1 else output.with_name(f"{output.stem}-{number}{output.suffix}")
        try:
            path.write_bytes(data)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
        written.append(path)
    return written


def _bytes(result: Mapping[str, Any]) -> Iterator[bytes]:
    """What images, sounds and resources of the result hold. Raises click.ClickException."""
    for item in _items(result):
        resource = item.get("resource")
        encoded = resource.get("blob") if isinstance(resource, Mapping) else item.get("data")
        if encoded is not None:
            try:
                yield base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError, TypeError):
                raise click.ClickException("the server's answer holds bytes that are no base64") from None


def safe(text: str, file: TextIO) -> str:
    """`text` for `file`: on a terminal without what would move its cursor, change its colours, or worse."""
    if not file.isatty():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in text)
