"""Who may say on whose behalf a request comes."""

from common.config.base import Model
from common.config.values import HeaderName, NonEmpty


class Users(Model):
    """The header in which a front, such as LibreChat, names its user, and the keys that are believed."""

    trust_user_header: HeaderName | None = None
    trusted_fronts: tuple[NonEmpty, ...] = ()
    """Names of keys: of users of HTTP Basic, of tokens, of API keys."""
    require_user: bool = False
    """Whether a front that names no user is turned away."""
