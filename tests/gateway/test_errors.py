"""Errors as bytes: a status, a code and a reason for each."""

import json

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError, bad_request, ended, refused

EXPECTED = {
    Reason.BAD_REQUEST: (400, -32602),
    Reason.INVALID_ARGUMENTS: (400, -32602),
    Reason.IDEMPOTENCY_CONFLICT: (409, -32600),
    Reason.INVALID_JSON: (400, -32700),
    Reason.INVALID_MESSAGE: (400, -32600),
    Reason.UNSUPPORTED_VERSION: (400, -32600),
    Reason.SESSION_ID_MISSING: (400, -32600),
    Reason.SESSION_ID_TWICE: (400, -32600),
    Reason.CREDENTIAL_MISSING: (400, -32602),
    Reason.CREDENTIAL_MALFORMED: (400, -32602),
    Reason.UNAUTHENTICATED: (401, -32600),
    Reason.ORIGIN_DENIED: (403, -32600),
    Reason.USER_DENIED: (403, -32600),
    Reason.SESSION_NOT_FOUND: (404, -32001),
    Reason.SERVER_NOT_FOUND: (404, -32600),
    Reason.TOOL_NOT_FOUND: (404, -32602),
    Reason.AMBIGUOUS_TOOL: (409, -32602),
    Reason.ROUTE_NOT_FOUND: (404, -32600),
    Reason.RESOURCE_NOT_FOUND: (404, -32602),
    Reason.PROMPT_NOT_FOUND: (404, -32602),
    Reason.QUESTION_NOT_FOUND: (404, -32600),
    Reason.QUESTION_OPEN: (409, -32600),
    Reason.METHOD_NOT_ALLOWED: (405, -32600),
    Reason.NOT_ACCEPTABLE: (406, -32600),
    Reason.MESSAGE_TOO_LARGE: (413, -32600),
    Reason.UNSUPPORTED_MEDIA_TYPE: (415, -32600),
    Reason.HOST_DENIED: (421, -32600),
    Reason.CERTIFICATE_NOT_FOUND: (404, -32600),
    Reason.SCOPE_MISSING: (403, -32600),
    Reason.TOO_MANY_ATTEMPTS: (429, -32003),
    Reason.ISSUER_UNREACHABLE: (503, -32003),
    Reason.MAX_SESSIONS: (429, -32003),
    Reason.MAX_USER_SESSIONS: (429, -32003),
    Reason.MAX_KEY_SESSIONS: (429, -32003),
    Reason.MAX_USER_CALLS: (429, -32003),
    Reason.MAX_KEY_CALLS: (429, -32003),
    Reason.MAX_CONCURRENCY: (429, -32003),
    Reason.RATE_LIMITED: (429, -32003),
    Reason.RATE_LIMITS_UNKNOWN: (429, -32003),
    Reason.MAX_IN_FLIGHT: (429, -32003),
    Reason.SCOPE_MISSING: (403, -32600),
    Reason.TOO_MANY_ATTEMPTS: (429, -32003),
    Reason.ISSUER_UNREACHABLE: (503, -32003),
    Reason.INSTALLING: (503, -32003),
    Reason.GATEWAY_RESTARTED: (503, -32000),
    Reason.INTERNAL_ERROR: (500, -32603),
    Reason.SUPERVISOR_LOST: (503, -32000),
    Reason.SHUTDOWN: (503, -32000),
    Reason.GATEWAY_RESTARTED: (503, -32000),
    Reason.REQUEST_TIMEOUT: (504, -32005),
    Reason.START_TIMEOUT: (504, -32005),
}
THE_CHILD_IS_TO_BLAME = (502, -32000)


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_status_and_its_code(reason: Reason) -> None:
    error = GatewayError(reason, "it did not work")
    assert (error.status, error.rpc_code) == EXPECTED.get(reason, THE_CHILD_IS_TO_BLAME)


def test_the_body_of_rest_holds_code_message_and_about() -> None:
    error = GatewayError(Reason.TOOL_NOT_FOUND, "no such tool", server="fs", tool="ad")
    assert json.loads(error.rest_body()) == {
        "error": {"code": "tool_not_found", "message": "no such tool", "about": {"server": "fs", "tool": "ad"}}
    }


@pytest.mark.parametrize("request_id", [b"7", b'"7"', b"null"])
def test_the_body_of_json_rpc_answers_the_request_by_its_id(request_id: bytes) -> None:
    body = GatewayError(Reason.REQUEST_TIMEOUT, "too slow", server="fs").rpc_body(request_id)
    assert body == (
        b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32005,"message":"too slow",'
        b'"data":{"code":"request_timeout","about":{"server":"fs"}}}}' % request_id
    )


def test_the_body_of_json_rpc_has_a_null_id_where_no_request_is_known() -> None:
    assert json.loads(GatewayError(Reason.INVALID_JSON, "it is not JSON").rpc_body())["id"] is None


def test_a_message_never_breaks_its_line() -> None:
    assert b"\n" not in GatewayError(Reason.CHILD_ERROR, "first\nsecond").rpc_body(b"1")


def test_about_may_hold_what_is_also_a_parameters_name() -> None:
    error = GatewayError(Reason.BAD_REQUEST, "bad", reason="r", message="m")
    assert error.about == {"reason": "r", "message": "m"}
    assert error.message == "bad"


def test_an_error_reads_as_its_reason_and_its_sentence() -> None:
    assert str(bad_request("expected an object", got="array")) == "bad_request: expected an object"


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (Reason.CHILD_EXITED, "the server's process ended"),
        (Reason.CHILD_CLOSED_STDOUT, "the server's process closed its output"),
        (Reason.CHILD_NOT_READING, "the server's process does not read its input"),
        (Reason.START_TIMEOUT, "the server did not answer 'initialize' in time"),
        (Reason.MEMORY_MAX, "the server used more memory than memory_max allows"),
        (Reason.TASKS_MAX, "the server had more processes and threads than tasks_max allows"),
        (Reason.FILE_SIZE_MAX, "the server wrote a larger file than file_size_max allows"),
        (Reason.DIR_SIZE_MAX, "the server filled its session's directory beyond dir_size_max"),
        (Reason.MAX_LIFETIME, "the session reached its maximum lifetime"),
        (Reason.SHUTDOWN, "the gateway is shutting down"),
        (Reason.SUPERVISOR_LOST, "the gateway lost its supervisor"),
        (Reason.IDLE_TIMEOUT, "the session ended"),
    ],
)
def test_a_call_in_flight_is_told_why_its_session_ended(reason: Reason, sentence: str) -> None:
    error = ended(reason, "fs", exitCode=3)
    assert (error.reason, error.message) == (reason, sentence)
    assert error.about == {"server": "fs", "exitCode": 3}


@pytest.mark.parametrize(("seconds", "whole"), [(0, 1), (0.01, 1), (1, 1), (1.01, 2), (60, 60)])
def test_when_to_come_again_is_said_in_whole_seconds_and_never_at_once(seconds: float, whole: int) -> None:
    error = refused(Reason.MAX_SESSIONS, "there is no room", seconds, server="fs")
    assert error.headers == {"Retry-After": str(whole)}
    assert error.about == {"server": "fs", "retryAfter": whole}


def test_where_nobody_knows_when_to_come_again_nothing_is_said_of_it() -> None:
    error = refused(Reason.MAX_SESSIONS, "there is no room", server="fs")
    assert (error.headers, error.about) == ({}, {"server": "fs"})
