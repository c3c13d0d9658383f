"""All rules on all entries: a document and what is known of the gateway in, findings out. No I/O."""

from collections.abc import Callable, Iterator
from typing import Final

from doctor.findings import Finding, Verdict
from doctor.librechat import addresses, names, shape, sharing
from doctor.librechat.context import GatewayFacts, Said
from doctor.librechat.document import Document, Entry

_RULES: Final[tuple[Callable[[Entry, GatewayFacts | None], Iterator[Said]], ...]] = (
    shape.kind,
    sharing.one_session_for_all,
    sharing.user_header,
    sharing.credentials,
    sharing.unknown_placeholders,
    shape.oauth_probe,
    shape.times,
    shape.keys,
    names.server_name,
    names.tool_names,
    addresses.route,
)

_BREAKER: Final = (
    "LibreChat lets about six users of a server connect within 45 seconds, and then nobody for a while",
    "MCP_CB_MAX_CYCLES=1000 in LibreChat's environment",
)


def examine(document: Document, gateway: GatewayFacts | None = None) -> list[Finding]:
    """What is wrong or doubtful with each entry, in the order of the file; notes, and no `ok`, for a good one."""
    findings = [
        Finding("entry", name, Verdict.FAILED, f"line {line}: {text}", "see LibreChat's own documentation")
        for name, line, text in document.wrong
    ]
    twins = list(names.twins(document))
    for entry in document.entries:
        said = [each for rule in _RULES for each in rule(entry, gateway)]
        said += addresses.allowed(entry, document)
        said += [each for twin, each in twins if twin is entry]
        findings += [_finding(entry, each) for each in said]
    if not document.entries and not document.wrong:
        findings.append(Finding("entry", "", Verdict.WARNING, "there is nothing under 'mcpServers'", ""))
    if any(entry.kind != "stdio" for entry in document.entries):
        findings.append(Finding("many users", "", Verdict.NOTE, *_BREAKER))
    return findings


def _finding(entry: Entry, said: Said) -> Finding:
    text = f"line {entry.line(*said.path)}: {said.text}"
    return Finding(said.check, entry.name, said.verdict, text, said.remedy)
