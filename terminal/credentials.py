"""Who asks, as the headers of a request say it: what a command takes from its environment and its options."""

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import click

TOKEN: Final = "MCP_GATEWAY_TOKEN"  # noqa: S105 - a name
USER: Final = "MCP_GATEWAY_USER"
PASSWORD: Final = "MCP_GATEWAY_PASSWORD"  # noqa: S105 - a name
API_KEY: Final = "MCP_GATEWAY_API_KEY"

WAYS: Final = f"{TOKEN}, {API_KEY}, or {USER} and {PASSWORD}"
"""In the environment, one of these; an argument can be read by everybody on the machine."""

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def headers_of(token_file: Path | None, written: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Those that prove who asks, and those that were `written` as `NAME: VALUE`. Raises click.ClickException."""
    return {**_proof(token_file, environ), **dict(_header(each, environ) for each in written)}


def _proof(token_file: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The header that says who asks; none where nothing does. Raises click.ClickException."""
    if token_file is not None:
        return _bearer(_read(token_file), str(token_file))
    found = [name for name in (TOKEN, API_KEY, USER) if environ.get(name)]
    if len(found) > 1:
        raise click.ClickException(f"{' and '.join(found)} are set; expected one of them, for it says who asks")
    if TOKEN in found:
        return _bearer(environ[TOKEN], TOKEN)
    if API_KEY in found:
        return {"X-API-Key": _sendable(environ[API_KEY], API_KEY)}
    if USER in found:
        if not environ.get(PASSWORD):
            raise click.ClickException(f"{USER} is set, and {PASSWORD} is not")
        pair = f"{environ[USER]}:{environ[PASSWORD]}".encode("utf-8", "surrogateescape")
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _bearer(token: str, where: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {_sendable(token, where)}"}


def _read(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is no text in UTF-8") from None
    if not token:
        raise click.ClickException(f"{file} is empty; expected a token")
    return token


def _header(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The name and value of `NAME: VALUE`. Raises click.ClickException."""
    name, colon, value = text.partition(":")
    if not colon or not _HEADER_NAME.fullmatch(name.strip()):
        raise click.ClickException("expected a header as 'NAME: VALUE'")
    for variable in _VARIABLE.findall(value):
        if variable not in environ:
            raise click.ClickException(f"the environment has no variable {variable}, which a --header is made of")
    filled = _VARIABLE.sub(lambda match: environ[match[1]], value)
    return name.strip(), _sendable(filled.strip(), f"--header '{name.strip()}'")


def _sendable(value: str, where: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise click.ClickException(f"what {where} holds cannot stand in a header: expected printable ASCII on one line")
    return value
