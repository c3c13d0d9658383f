"""All `rate_limits`, or none. The libraries that count take a while to import: they come with the first limit."""

from typing import TYPE_CHECKING

from common.config.amounts import Amounts
from gateway.admittance import Standing, Use
from gateway.identity.who import Who

if TYPE_CHECKING:
    from gateway.rates import Rates


class RateLimits:
    """The rule about them (`gateway.admittance.Rule`), for as long as the gateway lives."""

    def __init__(self, settings: Amounts) -> None:
        self._rates: Rates | None = None
        self.take_over(settings)

    def __repr__(self) -> str:
        return f"<RateLimits: {self._rates or 'none'}>"

    @property
    def is_on(self) -> bool:
        """Whether there is any."""
        return self._rates is not None and self._rates.is_on

    def take_over(self, settings: Amounts) -> None:
        """These hold from now on. What was counted stays counted, unless it is to be counted elsewhere."""
        if self._rates is not None:
            self._rates.take_over(settings)
        elif settings.rate_limits:
            from gateway.rates import Rates

            self._rates = Rates(settings)

    def report(self) -> dict[str, object]:
        """What `/health` says of them."""
        return self._rates.report() if self._rates is not None else {}

    async def __call__(self, who: Who, use: Use) -> Standing | None:
        """Count a request. Raises GatewayError where there were enough of them."""
        return await self._rates(who, use) if self._rates is not None else None

    async def close(self) -> None:
        """Let go of whatever counts elsewhere."""
        if self._rates is not None:
            await self._rates.close()
