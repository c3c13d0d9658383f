"""Which part of a program was at work in a stack."""

import pytest

from benchmarks.stacks import OTHER, Stack, by_part, parse, part_of, table

ROOT = (
    "main (/x/gateway/__main__.py:46)",
    "run (/x/anyio/_core/_eventloop.py:83)",
    "uv_run (/p/libuv/src/unix/core.c:4)",
)
LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
PYTHON = "/usr/lib/libpython3.11.so.1.0"


@pytest.mark.parametrize(
    ("frames", "part"),
    [
        ((), "event loop"),
        ((f"epoll_pwait ({LIBC})",), "waiting for events"),
        (("Connection._write (/x/gateway/lane/writing.py:3)", f"write ({LIBC})"), "reads and writes"),
        (("look (/x/gateway/lane/request.py:70)",), "HTTP"),
        (("look (/x/gateway/lane/request.py:70)", f"sre_ucs1_match ({PYTHON})", f"0x7feb ({LIBC})"), "HTTP"),
        (("look (/x/gateway/lane/request.py:70)", f"gc_collect_main ({PYTHON})", "close (/x/h11/a.py:1)"), "HTTP"),
        (("look (/x/gateway/lane/request.py:70)", f"gc_collect_main ({PYTHON})"), "garbage collector"),
        (("Relay.hear (/x/gateway/relay.py:362)", "__init__ (<string>:2)"), "relay"),
        (("Relay.hear (/x/gateway/relay.py:362)", "json_decode (/s/msgspec/_core.so)"), "JSON"),
        (("Relay.hear (/x/gateway/relay.py:362)", "Logger._log (/s/loguru/_logger.py:1)"), "logging"),
        (("Guards.check (/x/gateway/http/guards.py:9)",), "checks"),
        (("_type (/x/gateway/rest/keywords.py:9)",), "checks"),
        (("Channel._readable (/x/gateway/channel.py:132)",), "child's pipe"),
        (("Meter.run (/x/supervisor/meter.py:130)",), "supervisor"),
    ],
)
def test_a_stack_is_of_its_innermost_part(frames: tuple[str, ...], part: str) -> None:
    assert part_of(Stack((*ROOT, *frames), 1)) == part


def test_a_stack_that_no_part_claims_is_of_none() -> None:
    assert part_of(Stack(("start (/usr/lib/ld.so)",), 1)) == OTHER


def test_shares_are_of_all_that_was_seen() -> None:
    text = "look (/x/gateway/lane/a.py:1) 3\nRelay.hear (/x/gateway/relay.py:3) 1\n"
    parts = by_part(parse(text))
    assert {part: share for part, share in parts.items() if share} == {"HTTP": 0.75, "relay": 0.25}


def test_a_thread_that_waits_for_another_was_not_at_work() -> None:
    asleep = f"Queue.get (/l/queue.py:171);PyThread_acquire_lock_timed ({PYTHON});0x7f5b ({LIBC}) 475"
    assert parse(f"{asleep}\nrun (/x/gateway/relay.py:1) 1") == [Stack(("run (/x/gateway/relay.py:1)",), 1)]


def test_the_table_has_a_row_for_each_part_that_counts() -> None:
    parts = by_part(parse("look (/x/gateway/lane/a.py:1) 3\nRelay.hear (/x/gateway/relay.py:3) 1"))
    assert table("gateway", {"http": (parts, 0.2)}).splitlines() == [
        "| gateway | http |",
        "|---|---|",
        "| HTTP | 75 % (0.150 ms) |",
        "| relay | 25 % (0.050 ms) |",
        "| a call | 0.200 ms |",
    ]
