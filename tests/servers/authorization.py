"""An authorization server for tests, of Authlib on Flask: registration, codes with PKCE, client credentials.

It prints its URL once it listens. Access tokens are JWTs (RFC 9068), for the `resource` that the client asked for.
Whoever comes to `/authorize` is logged in at once, as the user of ?login= or "ann". For the tests alone: `POST /rotate`
makes a new key, `POST /mint` signs whatever claims it is sent, and `/fetches` tells how often the keys were fetched.
"""

import os
import secrets
import sys
import time
from dataclasses import dataclass, field
from typing import ClassVar

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
GRANTS = ["authorization_code", "client_credentials"]
app = Flask(__name__)
authority = AuthorizationServer()
state = {"fetches": 0}
clients: dict[str, "Client"] = {}
codes: dict[str, "Code"] = {}
keys: list[RSAKey] = []


def rotate() -> None:
    """A new key signs from now on, and is the only one that is published."""
    keys[:] = [RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})]


@dataclass
class User:
    name: str

    def get_user_id(self) -> str:
        return self.name


@dataclass
class Client(ClientMixin):
    client_id: str
    secret: str = ""
    redirect_uris: list[str] = field(default_factory=list)
    method: str = "client_secret_basic"

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(each for each in (scope or "").split() if each in {"mcp", "other"})

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(self.secret, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in GRANTS


@dataclass
class Code:
    code: str
    client_id: str
    redirect_uri: str
    scope: str
    user: User
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


class ByCode(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["none", "client_secret_basic", "client_secret_post"]

    def save_authorization_code(self, code, request):
        asked = request.payload
        codes[code] = Code(
            code,
            request.client.client_id,
            asked.redirect_uri,
            asked.scope,
            request.user,
            asked.data.get("code_challenge"),
            asked.data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code, client):
        found = codes.get(code)
        return found if found is not None and found.client_id == client.client_id else None

    def delete_authorization_code(self, authorization_code):
        del codes[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class ByCredentials(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic", "client_secret_post"]


class Registration(ClientRegistrationEndpoint):
    def authenticate_token(self, request):
        return "anybody"

    def get_server_metadata(self):
        return {}

    def save_client(self, client_info, client_metadata, request):
        client = Client(
            client_info["client_id"],
            client_info["client_secret"],
            client_metadata.get("redirect_uris", []),
            client_metadata.get("token_endpoint_auth_method", "client_secret_basic"),
        )
        clients[client.client_id] = client
        return client


class Tokens(JWTBearerTokenGenerator):
    def get_jwks(self):
        return KeySet(keys)

    def get_audiences(self, client, user, scope):
        return request.form.get("resource", "nobody")

    def get_extra_claims(self, client, grant_type, user, scope):
        return {"groups": ["staff"]}


@app.get("/.well-known/oauth-authorization-server")
def metadata():
    return jsonify(
        issuer=state["url"],
        authorization_endpoint=f"{state['url']}/authorize",
        token_endpoint=f"{state['url']}/token",
        registration_endpoint=f"{state['url']}/register",
        jwks_uri=f"{state['url']}/jwks",
        response_types_supported=["code"],
        grant_types_supported=GRANTS,
        code_challenge_methods_supported=["S256"],
        token_endpoint_auth_methods_supported=["none", "client_secret_basic", "client_secret_post"],
    )


@app.get("/jwks")
def jwks():
    state["fetches"] += 1
    return jsonify(KeySet(keys).as_dict(private=False))


@app.get("/authorize")
def authorize():
    user = User(request.args.get("login", "ann"))
    grant = authority.get_consent_grant(end_user=user)
    return authority.create_authorization_response(grant_user=user, grant=grant)


@app.post("/token")
def token():
    return authority.create_token_response()


@app.post("/register")
def register():
    return authority.create_endpoint_response("client_registration")


@app.post("/rotate")
def rotate_now():
    rotate()
    return jsonify(kid=keys[0].kid)


@app.post("/mint")
def mint():
    now = int(time.time())
    claims = {"iss": state["url"], "sub": "ann", "iat": now, "exp": now + 60, **request.get_json()}
    return jwt.encode({"alg": "RS256", "kid": keys[0].kid}, claims, keys[0])


@app.get("/fetches")
def fetches():
    return jsonify(state["fetches"])


def main() -> None:
    """Serve until the end, or that of whoever started this."""
    rotate()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    state["url"] = f"http://127.0.0.1:{server.server_port}"
    clients["service"] = Client("service", "service-secret")
    authority.init_app(app, clients.get, lambda token, request: None)
    authority.register_token_generator("default", Tokens(issuer=state["url"]))
    authority.register_grant(ByCode, [CodeChallenge(required=True)])
    authority.register_grant(ByCredentials)
    authority.register_endpoint(Registration)
    print(state["url"], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
