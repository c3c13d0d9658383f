"""What is kept of a session: there and back, and what cannot be read."""

import msgspec
import pytest

from gateway.kept import MAX_BYTES, VERSION, Kept, TooLong, Unreadable, read, write
from supervisor.protocol import MAX_FRAME, Keep, encode

KEPT = Kept(VERSION, "gw.secret", "REST", "basic", "alice", "light")


def test_what_was_written_is_read() -> None:
    assert read(write(KEPT)) == KEPT


def test_what_a_gateway_wrote_that_did_not_note_the_revision_is_read() -> None:
    older = '{"version":1,"id":"gw.secret","door":"REST","issuer":"basic","subject":"alice","server":"light"}'
    assert read(older) == KEPT
    assert read(write(msgspec.structs.replace(KEPT, revision="2025-03-26"))).revision == "2025-03-26"


def test_what_is_kept_fits_into_a_frame_whatever_it_is_and_what_does_not_is_not_kept() -> None:
    room = MAX_BYTES - len(write(msgspec.structs.replace(KEPT, opened="x"))) + 1
    assert len(encode(Keep(1, write(msgspec.structs.replace(KEPT, opened='"' * (room // 2)))))) < MAX_FRAME
    with pytest.raises(TooLong):
        write(msgspec.structs.replace(KEPT, opened="x" * (room + 1)))


def test_no_repr_shows_the_id_or_the_owner() -> None:
    assert repr(KEPT) == "<Kept session of light on REST>"


@pytest.mark.parametrize(
    "state",
    [
        "",
        "secret",
        "[]",
        "{}",
        '{"version":1,"id":"secret"}',
        write(KEPT)[:-1] + ',"more":"secret"}',
        write(KEPT).replace('"alice"', "7"),
        write(msgspec.structs.replace(KEPT, version=VERSION + 1)),
        "[" * 100_000,
    ],
)
def test_what_another_version_wrote_is_not_guessed_at(state: str) -> None:
    with pytest.raises(Unreadable) as error:
        read(state)
    assert "secret" not in str(error.value)


def test_what_belongs_to_a_session_of_its_users_own_is_kept_as_a_digest_and_may_not_be_there() -> None:
    assert read(write(KEPT)).personal == ""
    assert read(write(msgspec.structs.replace(KEPT, personal="00ff"))).personal == "00ff"
