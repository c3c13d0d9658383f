"""A client of a gateway that runs: what the commands that ask one have in common.

Which gateway, the options say, or the configuration; who asks, the environment, for an argument can be read by everybody
on the machine. Whatever goes wrong is one line for a person, and exit status 1.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
import httpx2

from common.config.load import load
from common.config.source import ConfigError
from doctor.client import printable
from doctor.surroundings import default_url
from gateway import options
from terminal.credentials import TOKEN, WAYS, headers_of
from terminal.typed import program

URL: Final = "MCP_GATEWAY_URL"

PATIENCE: Final = 60.0
"""Seconds that an answer may take, where a command does not say otherwise: a listing may have to start servers."""

_CONNECTING: Final = 10.0
_OPTIONS: Final = (
    options.config("The configuration that the gateway runs with, read for its address alone"),
    click.option("--url", envvar=URL, help=f"Where the gateway is, in place of what the configuration says. [{URL}]"),
    click.option(
        "--token-file", type=click.Path(path_type=Path), metavar="FILE", help=f"A Bearer token, in place of {TOKEN}."
    ),
    click.option(
        "-H",
        "--header",
        "headers",
        multiple=True,
        metavar="'NAME: VALUE'",
        help="One more header; ${VARIABLE} in it is taken from the environment. May be given again.",
    ),
)
_Command = TypeVar("_Command", bound=Callable[..., object])


def addressed(command: _Command) -> _Command:
    """Gives a command the options `config`, `url`, `token_file` and `headers`, which `Remote.of` takes as they are."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Refusal(click.ClickException):
    """The gateway said no. `code` is its reason, and `about` what it says besides the sentence."""

    def __init__(self, status: int, code: str, sentence: str, about: Mapping[str, Any], remedy: str = "") -> None:
        super().__init__(printable(sentence) + (f"; {remedy}" if remedy else ""))
        self.status = status
        self.code = code
        self.about = about


class Remote:
    """The gateway at `url`, for whoever `headers` prove. Use it as a context manager. No `repr` shows the headers.

    Each method raises click.ClickException where there is no answer, or one that says no (`Refusal`).
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, started_with: str = "") -> None:
        self.url = _checked(url)
        self._start = f"start it with '{program()} serve{started_with}', or " if started_with else ""
        timeout = httpx2.Timeout(PATIENCE, connect=_CONNECTING)
        # Proxies of the environment are not asked: a gateway is near, and the credentials are for nobody else.
        self._http = httpx2.Client(base_url=self.url, headers=dict(headers or {}), timeout=timeout, trust_env=False)

    def __repr__(self) -> str:
        return f"<Remote {self.url}>"

    @classmethod
    def of(
        cls, config: Path, url: str | None = None, token_file: Path | None = None, headers: Iterable[str] = ()
    ) -> "Remote":
        """The gateway at `url`, or else the one that `config` describes. Raises click.ClickException."""
        proved = headers_of(token_file, headers, os.environ)
        if url is not None:
            return cls(url, proved)
        return cls(_configured(config), proved, f" --config {config}")

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a GET is answered with."""
        return _decoded(self.request("GET", path, params=params))

    def post(self, path: str, body: object = None, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """The JSON that a POST of the JSON `body` is answered with; `more` as for `request`."""
        return _decoded(self.request("POST", path, params=params, json={} if body is None else body, **more))

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> None:
        """A DELETE, whose answer says nothing more."""
        self.request("DELETE", path, params=params)

    def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Any request; `more` is what httpx2's `request` takes: `headers`, `content`, `timeout` in seconds, ….."""
        with self._telling():
            response = self._http.request(method, path, **more)
            self._check(response)
            return response

    @contextmanager
    def stream(self, method: str, path: str, **more: Any) -> Iterator[httpx2.Response]:
        """The same, whose body is read by whoever asks, as it comes."""
        with self._telling(), self._http.stream(method, path, **more) as response:
            if response.status_code >= httpx2.codes.BAD_REQUEST:
                response.read()
            self._check(response)
            yield response

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except httpx2.ConnectError as error:
            why = "" if _is_refused(error) else f" ({printable(str(error))})"
            raise click.ClickException(
                f"no gateway answers at {self.url}{why}; {self._start}say with --url where it is"
            ) from None
        except httpx2.TimeoutException:
            raise click.ClickException(f"the gateway at {self.url} took too long to answer") from None
        except httpx2.HTTPError as error:
            what = printable(str(error)) or type(error).__name__
            raise click.ClickException(f"the connection to {self.url} broke: {what}") from None

    def _check(self, response: httpx2.Response) -> None:
        if response.is_success:
            return
        try:
            error = response.json()["error"]
            code, sentence = str(error["code"]), str(error["message"])
            about = error.get("about") or {}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise click.ClickException(
                f"what answers at {self.url} is no mcp-gateway, or an older one (HTTP {response.status_code})"
            ) from None
        remedy = f"set {WAYS}" if response.status_code == 401 else ""
        raise Refusal(response.status_code, code, sentence, about, remedy)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise click.ClickException("expected a URL such as http://127.0.0.1:3000")
    if parts.username is not None or parts.query or parts.fragment:
        raise click.ClickException(
            f"expected a URL of a scheme, a host, a port and a path alone; credentials are taken from {WAYS}"
        )
    return url.rstrip("/")


def _configured(config: Path) -> str:
    try:
        settings = load(config)
    except ConfigError as error:
        raise click.ClickException(f"{error.problems[0]}; with --url it is not read") from None
    url = default_url(settings.gateway)
    if url is None:
        raise click.ClickException(f"{config} leaves the port open; say with --url where the gateway is")
    return url


def _is_refused(error: httpx2.ConnectError) -> bool:
    return "refused" in str(error).lower() or "all connection attempts failed" in str(error).lower()


def _decoded(response: httpx2.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        raise click.ClickException(
            f"what answers at {response.url.host} is no mcp-gateway: its answer is no JSON"
        ) from None
