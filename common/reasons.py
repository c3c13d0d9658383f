"""Why something ended, was refused or was denied: one enum for logs, metrics and error bodies.

A reason is part of the interface: a script or a dashboard may depend on it, so one is added, never renamed.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The machine-readable half of every log line and every error body."""

    # Why a session, a lease or a child ended.
    CLIENT_CLOSED = "client_closed"
    """The client said so: a DELETE."""
    CLIENT_GONE = "client_gone"
    """The client hung up, on a stream whose end is the session's end."""
    CLIENT_STALLED = "client_stalled"
    """The client stopped reading its stream for longer than the gateway is willing to buffer."""
    IDLE_TIMEOUT = "idle_timeout"
    MAX_LIFETIME = "max_lifetime"
    REQUEST_DONE = "request_done"
    """The session was for one request alone."""
    UNUSED = "unused"
    """The session id was issued, and nobody used it in time."""
    CHILD_EXITED = "child_exited"
    CHILD_CLOSED_STDOUT = "child_closed_stdout"
    CHILD_NOT_READING = "child_not_reading"
    START_TIMEOUT = "start_timeout"
    """The child did not answer `initialize` in time."""
    START_FAILED = "start_failed"
    """The child answered `initialize` with an error."""
    MEMORY_MAX = "memory_max"
    TASKS_MAX = "tasks_max"
    FILE_SIZE_MAX = "file_size_max"
    DIR_SIZE_MAX = "dir_size_max"
    """One of the server's `limits` was reached."""
    GATEWAY_LOST = "gateway_lost"
    GATEWAY_RESTARTED = "gateway_restarted"
    """The session goes on; what was in flight does not."""
    SUPERVISOR_LOST = "supervisor_lost"
    SHUTDOWN = "shutdown"

    # Why a child could not be had at all.
    COMMAND_NOT_FOUND = "command_not_found"
    PATH_NOT_FOUND = "path_not_found"
    SPAWN_FAILED = "spawn_failed"
    ROOM_FAILED = "room_failed"
    """The session's own directory could not be made."""
    SERVER_FAILING = "server_failing"
    """The server keeps dying, so it is given a rest."""
    MAX_SESSIONS = "max_sessions"
    MAX_USER_SESSIONS = "max_user_sessions"
    MAX_IN_FLIGHT = "max_in_flight"
    """The session has as many requests in flight as it may."""

    # What was wrong with a request.
    BAD_REQUEST = "bad_request"
    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNSUPPORTED_VERSION = "unsupported_version"
    SESSION_ID_MISSING = "session_id_missing"
    SESSION_ID_TWICE = "session_id_twice"
    SESSION_NOT_FOUND = "session_not_found"
    SERVER_NOT_FOUND = "server_not_found"
    TOOL_NOT_FOUND = "tool_not_found"
    CERTIFICATE_NOT_FOUND = "certificate_not_found"
    ROUTE_NOT_FOUND = "route_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    MESSAGE_TOO_LARGE = "message_too_large"
    UNAUTHENTICATED = "unauthenticated"
    ORIGIN_DENIED = "origin_denied"
    HOST_DENIED = "host_denied"
    USER_DENIED = "user_denied"
    """The front names no user that could be one."""

    # What became of a call.
    REQUEST_TIMEOUT = "request_timeout"
    CHILD_ERROR = "child_error"
    """The child answered with a JSON-RPC error."""
    INTERNAL_ERROR = "internal_error"
