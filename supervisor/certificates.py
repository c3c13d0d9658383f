"""What is left of a child: its death certificate, and the lines about it in the log."""

from typing import Final

from loguru import logger

from common.once import Changes
from common.reasons import Reason
from common.redact import Redactor
from supervisor.child import Child, how_it_ended
from supervisor.protocol import Certificate

STDERR_LINES: Final = 20
"""How much of a child's stderr goes into its certificate, and into the log where it failed."""

_FAILURES: Final = {
    Reason.CHILD_EXITED,
    Reason.CHILD_CLOSED_STDOUT,
    Reason.CHILD_NOT_READING,
    Reason.START_FAILED,
    Reason.START_TIMEOUT,
    Reason.MEMORY_MAX,
    Reason.TASKS_MAX,
    Reason.FILE_SIZE_MAX,
    Reason.DIR_SIZE_MAX,
}
"""Reasons for which an operator will want to read the child's own last words."""


def certify(child: Child) -> Certificate:
    """The certificate of a child whose tree is empty; what it said on stderr is in there without secrets."""
    assert child.reason is not None
    assert child.exit is not None
    stderr = tuple(child.stderr.tail(STDERR_LINES))
    return Certificate(
        child.certificate, child.spec.name, child.reason, child.exit, child.limit, lived=child.lived, stderr=stderr
    )


def log_end(child: Child, certificate: Certificate, told: Changes) -> None:
    """Tell the operator of it; with the child's command and last words where it failed.

    Of those that are no session's, which come again and again, it is told once why they fail, and then when that changes.
    """
    line = "{} pid {} of session {} is gone: {}, {}, after {:.1f} s, certificate {}"
    spoke = (child.spec.name, child.pid, child.label, certificate.reason, how_it_ended(certificate.exit))
    facts = (*spoke, certificate.lived, certificate.id)
    if child.stderr.dropped:
        line += f"; {child.stderr.dropped} lines of its stderr were not logged ({child.stderr.bytes} bytes in all)"
    failed = certificate.reason if certificate.reason in _FAILURES else None
    if not (told.is_news(child.spec.name, failed) if child.gives_way else failed):
        logger.log(child.level, line, *facts)
        return
    logger.warning(line, *facts)
    logger.warning("its command was: {}", Redactor(child.spec.env, child.spec.private)(child.spec.as_written))
    for said in certificate.stderr:
        logger.warning("its stderr: {}", said)
