"""Listens of modern clients on a legacy child, which knows subscriptions of resources and tells the rest unasked."""

from typing import Any

import pytest

from gateway.translation.legacy_child.subscriptions import LISTENERS, SUBSCRIPTIONS
from tests.gateway.translation.playbook import SUBSCRIPTION, WELCOME, Bridge

EVERYTHING = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}


def acknowledged(id_: int, **honoured: Any) -> dict[str, Any]:
    """What a listener gets first."""
    params = {"notifications": honoured, "_meta": {SUBSCRIPTION: id_}}
    return {"client": {"method": "notifications/subscriptions/acknowledged", "params": params}, "about": id_}


def subscribe(own: int, uri: str, method: str = "resources/subscribe") -> dict[str, Any]:
    """What the child is asked."""
    return {"child": {"id": f"gateway-0-{own}", "method": method, "params": {"uri": uri}}}


def told(id_: int, method: str, **params: Any) -> dict[str, Any]:
    """What a listener gets later."""
    return {"client": {"method": method, "params": {**params, "_meta": {SUBSCRIPTION: id_}}}, "about": id_}


def test_a_listener_gets_what_the_child_can_tell() -> None:
    bridge = Bridge()
    assert bridge.says(1, "subscriptions/listen", notifications=EVERYTHING) == [
        acknowledged(1, toolsListChanged=True, resourcesListChanged=True)
    ]
    changed = "notifications/tools/list_changed"
    assert bridge.child(method=changed) == [told(1, changed)]
    assert bridge.child(method="notifications/prompts/list_changed") == []
    assert bridge.counted == {"message_for_nobody": 1}


def test_a_listener_gets_only_what_it_wants() -> None:
    bridge = Bridge()
    bridge.says(1, "subscriptions/listen", notifications={"toolsListChanged": True, "resourcesListChanged": False})
    assert bridge.child(method="notifications/resources/list_changed") == []


def test_a_child_that_can_tell_nothing_is_listened_to_for_nothing() -> None:
    bridge = Bridge(welcome={**WELCOME, "capabilities": {"tools": {"listChanged": False}, "resources": {}}})
    wanted = {**EVERYTHING, "resourceSubscriptions": ["file:///x"]}
    assert bridge.says(1, "subscriptions/listen", notifications=wanted) == [acknowledged(1)]


def test_each_resource_is_subscribed_to_once_and_until_its_last_listener_has_gone() -> None:
    bridge = Bridge()
    one, both = ["file:///x"], ["file:///y", "file:///x", "file:///y"]
    assert bridge.says(1, "subscriptions/listen", notifications={"resourceSubscriptions": one}) == [
        acknowledged(1, resourceSubscriptions=one),
        subscribe(1, "file:///x"),
    ]
    assert bridge.says(2, "subscriptions/listen", notifications={"resourceSubscriptions": both}) == [
        acknowledged(2, resourceSubscriptions=["file:///y", "file:///x"]),
        subscribe(2, "file:///y"),
    ]
    updated = "notifications/resources/updated"
    assert bridge.child(method=updated, params={"uri": "file:///x"}) == [
        told(1, updated, uri="file:///x"),
        told(2, updated, uri="file:///x"),
    ]
    assert bridge.cancels(1) == []
    assert bridge.child(method=updated, params={"uri": "file:///x"}) == [told(2, updated, uri="file:///x")]
    assert bridge.cancels(2) == [
        subscribe(3, "file:///x", "resources/unsubscribe"),
        subscribe(4, "file:///y", "resources/unsubscribe"),
    ]
    assert bridge.child(method=updated, params={"uri": "file:///x"}) == []


def test_what_is_updated_may_be_a_part_of_what_is_subscribed_to() -> None:
    bridge = Bridge()
    bridge.says(1, "subscriptions/listen", notifications={"resourceSubscriptions": ["file:///x", "db://"]})
    updated = "notifications/resources/updated"
    assert bridge.child(method=updated, params={"uri": "file:///x/y"}) == [told(1, updated, uri="file:///x/y")]
    assert bridge.child(method=updated, params={"uri": "file:///xy"}) == []


def test_what_the_child_says_in_meta_stays_there() -> None:
    bridge = Bridge()
    bridge.says(4, "subscriptions/listen", notifications={"toolsListChanged": True})
    changed = "notifications/tools/list_changed"
    [step] = bridge.child(method=changed, params={"_meta": {"x": 1, SUBSCRIPTION: 99}})
    assert step["client"]["params"]["_meta"] == {"x": 1, SUBSCRIPTION: 4}


@pytest.mark.parametrize("params", [{}, {"notifications": []}, {"notifications": {"resourceSubscriptions": "x"}}])
def test_a_filter_that_is_none_is_refused(params: dict[str, Any]) -> None:
    [step] = Bridge().says(1, "subscriptions/listen", **params)
    assert step["client"]["error"]["code"] == -32602


@pytest.mark.parametrize("params", [[], {"uri": 5}, {}])
def test_news_about_nothing_are_for_nobody(params: Any) -> None:
    bridge = Bridge()
    bridge.says(1, "subscriptions/listen", notifications={"resourceSubscriptions": ["file:///x"]})
    assert bridge.child(method="notifications/resources/updated", params=params) == []


def test_a_listen_that_waits_for_the_handshake_is_acknowledged_after_it() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    assert bridge.says(2, "subscriptions/listen", notifications={"toolsListChanged": True}) == []
    assert bridge.child(id=1, result=WELCOME)[2:] == [acknowledged(2, toolsListChanged=True)]


def test_so_many_listen_and_no_more() -> None:
    bridge = Bridge()
    for number in range(LISTENERS):
        bridge.says(number, "subscriptions/listen", notifications=EVERYTHING)
    refused = bridge.says(500, "subscriptions/listen", notifications=EVERYTHING)
    assert refused[0]["client"]["error"]["code"] == -32603
    assert bridge.counted == {"listener_refused": 1}
    bridge.cancels(0)
    assert bridge.says(501, "subscriptions/listen", notifications={}) == [acknowledged(501)]


def test_so_many_resources_are_subscribed_to_and_no_more() -> None:
    bridge = Bridge()
    uris = [f"file:///{number}" for number in range(SUBSCRIPTIONS)]
    bridge.says(1, "subscriptions/listen", notifications={"resourceSubscriptions": uris})
    wanted = ["file:///more", "file:///7"]
    assert bridge.says(2, "subscriptions/listen", notifications={"resourceSubscriptions": wanted}) == [
        acknowledged(2, resourceSubscriptions=["file:///7"])
    ]
    assert bridge.counted == {"subscription_refused": 1}
