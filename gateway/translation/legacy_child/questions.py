"""What a legacy child asks its client, as a modern client is asked it. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from gateway import meta, rawjson
from gateway.jsonrpc import Request, Response
from gateway.rawjson import Members
from gateway.specification import INTERNAL_ERROR, METHOD_NOT_FOUND
from gateway.translation.legacy_child import results
from gateway.translation.legacy_child.handshake import Askable

ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"

CAPABILITY_OF: Final = {ELICIT: "elicitation", SAMPLE: "sampling", ROOTS: "roots"}

_CANCELLED: Final = b'{"action":"cancel"}'
_NO_ROOTS: Final = b'{"roots":[]}'
_ACTIONS: Final = frozenset({"accept", "decline", "cancel"})
_LEGACY_ONLY: Final = ("elicitationId", "task")


@dataclass(slots=True)
class Question:
    """One question, open at the child under `id`, which is empty where the child waits for nothing."""

    id: bytes
    method: str
    params: Members
    answer: bytes = b""
    """What the client answered, once it has."""

    def as_input_request(self) -> Mapping[str, object]:
        """How a modern client is asked it."""
        return {"method": self.method, **({"params": self.params} if self.params else {})}


def read(request: Request) -> Question:
    """The question that `request` is, without what only legacy clients know."""
    return Question(request.id, request.method, _without_legacy(rawjson.members(request.params)))


def to_urls(elicitations: list[Members]) -> list[Question]:
    """The questions that stand in an error which says where a client has to go first."""
    mode = {"mode": rawjson.put("url")}
    return [Question(b"", ELICIT, {**_without_legacy(each), **mode}) for each in elicitations]


def _without_legacy(params: Members) -> Members:
    for name in _LEGACY_ONLY:
        params.pop(name, None)
    meta.take_meta(params, ("progressToken",))
    return params


def required_capability(question: Question) -> dict[str, dict[str, dict[str, object]]]:
    """The ClientCapabilities without which this must not be asked."""
    if question.method == ELICIT:
        return {"elicitation": {"url" if rawjson.text(question.params.get("mode", b"")) == "url" else "form": {}}}
    if question.method == SAMPLE and ("tools" in question.params or "toolChoice" in question.params):
        return {"sampling": {"tools": {}}}
    return {CAPABILITY_OF[question.method]: {}}


def is_declared(required: Mapping[str, Mapping[str, object]], declared: Askable) -> bool:
    """Whether a client that declared `declared` has what is `required`. To elicit and no more means forms."""
    for name, subs in required.items():
        if (found := declared.get(name)) is None:
            return False
        implied = {"form"} if name == "elicitation" and not found else set()
        if not subs.keys() <= found.keys() | implied:
            return False
    return True


def acceptable(question: Question, data: Raw) -> bytes:
    """The client's answer as the child gets it; empty where it is none to this question."""
    members = rawjson.members(data)
    if question.method == ELICIT:
        fits = rawjson.text(members.get("action", b"")) in _ACTIONS
    elif question.method == SAMPLE:
        fits = {"role", "content", "model"} <= members.keys()
    else:
        fits = bytes(members.get("roots", b"")).startswith(b"[")
    members.pop("resultType", None)
    return msgspec.json.encode(members) if fits else b""


def answered(question: Question) -> Response:
    """The client's answer, for the child."""
    return Response(question.id, question.answer, b"")


def unanswered(question: Question) -> Response:
    """What the child gets where the client's answer never comes: who is asked a form may say nothing, too."""
    if question.method == ELICIT:
        return Response(question.id, _CANCELLED, b"")
    return results.error(question.id, INTERNAL_ERROR, "the client did not answer")


def refused(id_: bytes) -> Response:
    """What the child gets where it must not ask this."""
    return results.error(id_, METHOD_NOT_FOUND, "the client cannot be asked this")


def unasked(question: Question, declared: Askable) -> Response:
    """What the child gets for a question that belongs to no call: there is nobody who could be asked."""
    if not is_declared(required_capability(question), declared):
        return refused(question.id)
    return Response(question.id, _NO_ROOTS, b"") if question.method == ROOTS else unanswered(question)
