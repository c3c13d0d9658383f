"""An issuer's public keys, as it publishes them: fetched when they are needed, kept, and fetched again.

Again after ten minutes, so that a key that was taken back is not good for longer; and when a token names one that is not
there, for the issuer may have made a new one. Whoever sends tokens cannot make the gateway fetch more often than `RATE`
allows. A failed fetch leaves the keys as they were. All requests share one fetch, and none waits for it whose key is
there.
"""

import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import anyio
import httpx2
from loguru import logger

from common.bucket import Bucket
from common.jwtkeys import BadKey, Key, public_keys

FRESH: Final = 600.0
"""Seconds after which keys are fetched again."""
RETRY: Final = 60.0
"""The same after a fetch that failed."""
AT_ONCE: Final = 5
RATE: Final = 0.1
"""Fetches: so many at once, and so many each second."""
PATIENCE: Final = 5.0
"""Seconds for a fetch in all."""
LARGEST: Final = 1 << 18
"""Bytes of a set of keys."""


class FetchFailed(Exception):
    """There are no keys to be had there now; the text says why."""


Fetch = Callable[[str], Awaitable[str]]


async def fetch(url: str) -> str:
    """The text at `url`. Raises FetchFailed. Neither redirected nor sent through a proxy of the environment.

    Certificates are checked against the system's authorities, or SSL_CERT_FILE's.
    """
    try:
        with anyio.fail_after(PATIENCE):
            return await _fetch(url)
    except TimeoutError:
        raise FetchFailed(f"no answer within {PATIENCE:g} seconds") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise FetchFailed(type(error).__name__) from None


async def _fetch(url: str) -> str:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    tls = ssl.create_default_context() if urlsplit(url).scheme == "https" else False
    async with (
        httpx2.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=PATIENCE) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            raise FetchFailed(f"status {answer.status_code}")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise FetchFailed("the answer is compressed, which was not asked for")
        content = b""
        async for chunk in answer.aiter_raw():
            content += chunk
            if len(content) > LARGEST:
                raise FetchFailed(f"the answer is larger than {LARGEST} bytes")
    return content.decode(errors="replace")


class Jwks:
    """The keys at one URL."""

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str] = (),
        fetch: Fetch = fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._fetch = fetch
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._due = clock()
        self._attempts = 0
        self._may_fetch = Bucket(AT_ONCE, RATE, clock())
        self._fetching = anyio.Lock()
        self._is_failing = False

    async def keys(self, kid: str | None) -> Sequence[Key]:
        """The keys that a token may mean that names `kid`. Raises FetchFailed where there have never been any."""
        found = self._named(kid)
        # Where another request fetches already, only who has no key waits for it.
        if not found or (self._clock() >= self._due and not self._fetching.locked()):
            await self._refresh()
            found = self._named(kid)
        if not self._keys:
            raise FetchFailed("there are no keys yet")
        return found

    def _named(self, kid: str | None) -> Sequence[Key]:
        """A token without a name of a key may mean any; so may every token mean a key without one."""
        return [key for key in self._keys if kid is None or key.kid is None or key.kid == kid]

    async def _refresh(self) -> None:
        before = self._attempts
        async with self._fetching:
            # Else another request has done it meanwhile.
            if self._attempts == before and self._may_fetch.take(self._clock()):
                await self._try_to_fetch()
                self._attempts += 1

    async def _try_to_fetch(self) -> None:
        try:
            self._keys = public_keys(await self._fetch(self._url), self._algorithms)
        except (FetchFailed, BadKey) as error:
            self._due = self._clock() + RETRY
            self._tell(error)
        else:
            self._due = self._clock() + FRESH
            self._is_failing = False
            logger.debug("fetched {} keys from {}", len(self._keys), self._where)

    def _tell(self, error: Exception) -> None:
        """Once, until it works again."""
        if not self._is_failing:
            self._is_failing = True
            meanwhile = "those from before hold" if self._keys else "nobody with a token of theirs is admitted"
            logger.warning("the keys at {} cannot be had: {}; {}", self._where, error, meanwhile)

    @property
    def _where(self) -> str:
        """The URL without its query, which may be a secret."""
        return self._url.partition("?")[0]
