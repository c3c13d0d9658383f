"""What is said of the end of a child's bridge to whoever waits for it, or comes later. No I/O."""

from typing import Final

from common.reasons import Reason
from gateway import errors
from gateway.errors import GatewayError
from supervisor.protocol import Exit

_UNCERTIFIED: Final = frozenset({Reason.GATEWAY_RESTARTED, Reason.SUPERVISOR_LOST})
"""Ends of a bridge after which its child lives, or nobody is left to say how it died."""

_NEVER_SERVED: Final = frozenset({Reason.START_FAILED, Reason.START_TIMEOUT})
"""Ends before the first answer: perhaps the child was spoken to in the wrong way."""


def error_of(
    reason: Reason, server: str, certificate: str, exit_: Exit | None = None, remedy: str = ""
) -> GatewayError:
    """The bridge to a child of `server` ended for `reason`.

    `certificate` is the id of its death certificate, empty where there is none; `exit_` is how it exited, where that is
    known by now; `remedy` is what to do about a child that never served, for the end of the sentence.
    """
    about: dict[str, object] = {}
    if exit_ is not None and exit_.signal is not None:
        about["signal"] = exit_.signal
    elif exit_ is not None and exit_.code is not None:
        about["exitCode"] = exit_.code
    if certificate and reason not in _UNCERTIFIED:
        about["certificate"] = certificate
    return errors.ended(reason, server, remedy if reason in _NEVER_SERVED else "", **about)
