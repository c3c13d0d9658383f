"""Control messages and their frames, with and without descriptors. No descriptor here is a real one."""

from typing import get_args

import msgspec
import pytest

from common.reasons import Reason
from supervisor.protocol import (
    MAX_FDS,
    MAX_FRAME,
    Answer,
    Ask,
    Certificate,
    Ending,
    Entrust,
    Exit,
    Expiring,
    FrameReader,
    FromGateway,
    FromSupervisor,
    Gone,
    Goodbye,
    Hello,
    Hold,
    Keep,
    Kept,
    Lapsed,
    Open,
    Opened,
    ProtocolError,
    Refused,
    Release,
    Renew,
    ServerReport,
    Settings,
    Unhold,
    Wait,
    Welcome,
    Withdraw,
    decode_from_gateway,
    decode_from_supervisor,
    encode,
)

FROM_GATEWAY: list[FromGateway] = [
    Hello(1),
    Open(7, "fs", "gw.abc…"),
    Open(7, "fs", "gw.abc…", "alice"),
    Withdraw(7),
    Keep(4, "{}"),
    Entrust("listener"),
    Entrust("hot_state"),
    Renew(()),
    Renew((1, 2, 3)),
    Hold((1, 2)),
    Unhold((1,)),
    Release(4, Reason.CLIENT_CLOSED),
    Ask(8),
    Goodbye(),
    Goodbye(stay=True),
]
FROM_SUPERVISOR: list[FromSupervisor] = [
    Wait(59.5),
    Welcome(1, msgspec.Raw(b'{"port":3000}')),
    Welcome(1, msgspec.Raw(b"{}"), 3, keeps=True, kept=2, heirlooms=("hot_state", "listener")),
    Kept(4, 1234, "light", "{}", 1.5),
    Lapsed(4, "light", "{}", Reason.CHILD_EXITED),
    Settings(msgspec.Raw(b'{"port":3000}')),
    Opened(7, 4, 1234, "bcdf"),
    Refused(7, Reason.MAX_SESSIONS, "all taken"),
    Refused(7, Reason.MAX_SESSIONS, "all taken", 5.0),
    Expiring(4),
    Ending(4, Reason.IDLE_TIMEOUT),
    Ending(4, Reason.CHILD_EXITED, Exit(code=3)),
    Gone(4, Certificate("c0ffee", "light", Reason.MEMORY_MAX, Exit(signal=9), "memory_max", 1.5, ("last words",))),
    Gone(4, Certificate("c0ffee", "light", Reason.SHUTDOWN, Exit())),
    Answer(8, 2, 1),
    Answer(8, 2, 1, 3, 0, "cgroup", {"light": ServerReport(2, 3, "it does not start", 4)}),
]


def frame(body: bytes, fds: int = 0) -> bytes:
    """A frame as the page of the protocol describes it."""
    return len(body).to_bytes(4, "big") + bytes([fds]) + body


def read(reader: FrameReader, data: bytes, *fds: int) -> list[tuple[bytes, list[int]]]:
    """The frames that are complete once the reader was fed."""
    return list(reader.feed(data, list(fds)))


# Messages.


def test_what_is_kept_of_a_session_stands_in_no_repr() -> None:
    for message in (
        Keep(4, "secret"),
        Kept(4, 1234, "light", "secret", 1.5),
        Lapsed(4, "light", "secret", Reason.CHILD_EXITED),
    ):
        assert "secret" not in repr(message)


def type_of(message: object) -> str:
    return type(message).__name__


@pytest.mark.parametrize("message", FROM_GATEWAY, ids=type_of)
def test_what_the_gateway_says_arrives_as_it_was_said(message: FromGateway) -> None:
    [(body, _)] = read(FrameReader(), encode(message))
    assert decode_from_gateway(body) == message


@pytest.mark.parametrize("message", FROM_SUPERVISOR, ids=type_of)
def test_what_the_supervisor_says_arrives_as_it_was_said(message: FromSupervisor) -> None:
    [(body, _)] = read(FrameReader(), encode(message))
    assert decode_from_supervisor(body) == message


def test_no_message_is_left_out_here() -> None:
    assert {type(message) for message in FROM_GATEWAY} == set(get_args(FromGateway))
    assert {type(message) for message in FROM_SUPERVISOR} == set(get_args(FromSupervisor))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_can_be_told(reason: Reason) -> None:
    [(body, _)] = read(FrameReader(), encode(Release(1, reason)))
    assert decode_from_gateway(body) == Release(1, reason)


def test_the_settings_pass_as_the_bytes_that_they_are() -> None:
    settings = b'{ "port" : 3000.0 }'
    [(body, _)] = read(FrameReader(), encode(Welcome(1, msgspec.Raw(settings))))
    welcome = decode_from_supervisor(body)
    assert isinstance(welcome, Welcome)
    assert bytes(welcome.settings) == settings


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{",
        b"[]",
        b"{}",
        b'{"type":"nonsense"}',
        b'{"type":"open","ref":1,"server":"fs"}',
        b'{"type":"open","ref":"1","server":"fs","label":"x"}',
        b'{"type":"release","lease":1,"reason":"boredom"}',
        b'{"type":"renew","leases":[1,null]}',
        b'{"type":"ask","ref":1} {}',
        b'{"type":"opened","ref":1,"lease":1,"pid":1}',
        b'{"type":"open","ref":1,"server":"\xff","label":"x"}',
        b'{"type":"ask","ref":1,"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_message_of_the_gateways_breaks_the_protocol(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_from_gateway(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'{"type":"opened","ref":1,"lease":1}',
        b'{"type":"gone","lease":1,"reason":"shutdown"}',
        b'{"type":"hello","protocol":1}',
        b'{"type":"refused","ref":1,"reason":"shutdown","message":"\xff"}',
    ],
)
def test_what_is_no_message_of_the_supervisors_breaks_the_protocol(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_from_supervisor(body)


def test_a_newer_peer_may_say_more_than_is_understood() -> None:
    assert decode_from_gateway(b'{"type":"ask","ref":1,"more":[{}]}') == Ask(1)
    assert decode_from_supervisor(b'{"type":"expiring","lease":1,"more":[{}]}') == Expiring(1)


@pytest.mark.parametrize("message", [*FROM_GATEWAY, *FROM_SUPERVISOR], ids=type_of)
def test_a_message_does_not_change_after_it_was_made(message: FromGateway | FromSupervisor) -> None:
    assert type(message).__struct_config__.frozen


# Frames.


def test_a_frame_is_its_length_its_descriptors_count_and_its_body() -> None:
    assert encode(Ask(7)) == frame(b'{"type":"ask","ref":7}')
    assert encode(Opened(1, 2, 3), 2) == frame(b'{"type":"opened","ref":1,"lease":2,"pid":3,"certificate":""}', fds=2)


def test_an_empty_body_is_a_frame() -> None:
    assert read(FrameReader(), frame(b"")) == [(b"", [])]


def test_frames_that_the_kernel_glued_together_come_apart() -> None:
    reader = FrameReader()
    assert read(reader, frame(b"one") + frame(b"two") + frame(b"three")) == [(b"one", []), (b"two", []), (b"three", [])]


def test_a_frame_comes_out_once_its_last_byte_has_come() -> None:
    reader = FrameReader()
    *all_but_last, last = (bytes([byte]) for byte in frame(b"hello"))
    for byte in all_but_last:
        assert read(reader, byte) == []
    assert read(reader, last) == [(b"hello", [])]


def test_a_frame_and_the_beginning_of_the_next_one_may_come_together() -> None:
    reader = FrameReader()
    second = frame(b"two")
    assert read(reader, frame(b"one") + second[:3]) == [(b"one", [])]
    assert read(reader, second[3:]) == [(b"two", [])]


def test_descriptors_belong_to_the_frame_that_says_so() -> None:
    assert read(FrameReader(), frame(b"child", fds=2), 10, 11) == [(b"child", [10, 11])]


def test_descriptors_come_with_a_frames_first_byte_and_wait_for_its_last() -> None:
    reader = FrameReader()
    first, *others, last = (bytes([byte]) for byte in frame(b"child", fds=2))
    assert read(reader, first, 10, 11) == []
    for byte in others:
        assert read(reader, byte) == []
    assert read(reader, last) == [(b"child", [10, 11])]


def test_descriptors_skip_the_plain_frame_that_their_frame_was_glued_to() -> None:
    assert read(FrameReader(), frame(b"news") + frame(b"child", fds=2), 10, 11) == [
        (b"news", []),
        (b"child", [10, 11]),
    ]


def test_descriptors_of_several_frames_are_given_out_in_order() -> None:
    reader = FrameReader()
    glued = frame(b"one", fds=2) + frame(b"news") + frame(b"two", fds=1) + frame(b"three", fds=2)
    assert read(reader, glued, 10, 11, 12, 13, 14) == [
        (b"one", [10, 11]),
        (b"news", []),
        (b"two", [12]),
        (b"three", [13, 14]),
    ]
    assert reader.orphans() == []


@pytest.mark.parametrize(("came", "lost"), [([], 2), ([10], 1)])
def test_descriptors_that_the_kernel_dropped_break_the_protocol(came: list[int], lost: int) -> None:
    reader = FrameReader()
    with pytest.raises(ProtocolError, match=f"^{lost} descriptors were lost$"):
        read(reader, frame(b"child", fds=2), *came)
    assert reader.orphans() == came


def test_a_frame_before_one_that_breaks_the_protocol_still_comes_out() -> None:
    frames = FrameReader().feed(frame(b"fine") + frame(b"child", fds=1), [])
    assert next(frames) == (b"fine", [])
    with pytest.raises(ProtocolError):
        next(frames)


def test_the_longest_frame_passes() -> None:
    body = b"x" * MAX_FRAME
    assert read(FrameReader(), frame(body)) == [(body, [])]


def test_a_frame_that_is_too_long_is_refused_by_its_header_alone() -> None:
    with pytest.raises(ProtocolError):
        read(FrameReader(), frame(b"x" * (MAX_FRAME + 1))[:5])


def test_descriptors_that_no_frame_can_have_are_refused() -> None:
    """As many could be kept as there are bytes in a frame."""
    reader = FrameReader()
    fds = list(range(10, 10 + MAX_FDS + 1))
    with pytest.raises(ProtocolError, match="^3 descriptors belong to no frame$"):
        read(reader, frame(b"x", fds=2)[:-1], *fds)
    assert reader.orphans() == fds


def test_a_frame_with_too_many_descriptors_is_refused() -> None:
    reader = FrameReader()
    fds = list(range(10, 10 + MAX_FDS + 1))
    with pytest.raises(ProtocolError):
        read(reader, frame(b"x", fds=len(fds)), *fds)
    assert reader.orphans() == fds


def test_descriptors_of_a_frame_that_never_became_complete_are_handed_over_once() -> None:
    reader = FrameReader()
    assert read(reader, frame(b"child", fds=2)[:-1], 10, 11) == []
    assert reader.orphans() == [10, 11]
    assert reader.orphans() == []
