"""How a caller proves who it is, as a document says it. No I/O."""

from typing import Any

from common.config.auth import Auth
from gateway.identity.credentials import API_KEY_HEADER

Schemes = dict[str, dict[str, Any]]


def schemes_of(auth: Auth) -> Schemes:
    """The security schemes that are configured, by name; whichever of them somebody satisfies is enough."""
    found: Schemes = {}
    if auth.basic_is_on:
        found["basic"] = {"type": "http", "scheme": "basic", "description": "A user's name and password."}
    if auth.bearer_is_on or auth.api_keys_are_on or auth.jwt:
        found["bearer"] = {"type": "http", "scheme": "bearer", "description": _bearer(auth)}
        if auth.jwt and not auth.bearer_is_on:
            found["bearer"]["bearerFormat"] = "JWT"
    if auth.api_keys_are_on:
        found["apiKey"] = {"type": "apiKey", "in": "header", "name": API_KEY_HEADER, "description": "A key."}
    servers = auth.oauth.authorization_servers if auth.oauth is not None else ()
    for number, server in enumerate(servers, 1):
        name = "login" if len(servers) == 1 else f"login{number}"
        url = f"{server.rstrip('/')}/.well-known/openid-configuration"
        found[name] = {"type": "openIdConnect", "openIdConnectUrl": url, "description": f"A token of {server}."}
    return found


def _bearer(auth: Auth) -> str:
    kinds = {
        "a token": auth.bearer_is_on,
        "a key": auth.api_keys_are_on,
        "a JWT of a configured issuer": bool(auth.jwt),
    }
    words = " or ".join(kind for kind, is_on in kinds.items() if is_on)
    return f"{words[0].upper()}{words[1:]}."


def alternatives(schemes: Schemes) -> list[dict[str, list[str]]]:
    """Any one of them."""
    return [{name: []} for name in schemes]
