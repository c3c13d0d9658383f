"""The listening socket: bound, or gone on with."""

import os
import socket

import pytest

from gateway.server import CannotBind, bind, bind_or_go_on, url


def test_a_socket_that_an_earlier_gateway_left_is_gone_on_with() -> None:
    with bind("127.0.0.1", 0) as left:
        port = left.getsockname()[1]
        for wanted in (0, port):
            with bind_or_go_on("localhost" if wanted else "127.0.0.1", wanted, os.dup(left.fileno())) as listener:
                assert listener.getsockname() == left.getsockname()
                with socket.create_connection(("127.0.0.1", port)):
                    listener.accept()[0].close()


@pytest.mark.parametrize("hostname", ["127.0.0.2", "::1"])
def test_a_socket_at_another_address_is_closed(hostname: str) -> None:
    left = bind("127.0.0.1", 0)
    port = left.getsockname()[1]
    with bind_or_go_on(hostname, 0, left.detach()) as listener:
        assert url(listener) == url(listener).replace("127.0.0.1", hostname)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_socket_at_another_port_is_closed() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotBind, match="in use"):
            bind_or_go_on("127.0.0.1", port, bind("127.0.0.1", 0).detach())


def test_a_hostname_that_is_none_any_more_is_what_the_error_is_about() -> None:
    with pytest.raises(CannotBind, match="cannot listen on no-such-host.invalid"):
        bind_or_go_on("no-such-host.invalid", 0, bind("127.0.0.1", 0).detach())
