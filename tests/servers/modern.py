"""A stdio MCP server that speaks revision 2026-07-28 and nothing else, without the SDK: it starts in milliseconds.

Run it with `python -I -S modern.py`. Its tools, by name, are the functions below that take `params`; its one resource,
`note://1`, and its lists change when a tool is told to change them.
"""

import json
import os
import sys

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
CANCELLED = []
LISTENS = {}


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def complete(**members):
    server = {"name": "modern", "version": "1"}
    return {"resultType": "complete", **members, "_meta": {META + "serverInfo": server}}


def text(value):
    return complete(content=[{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}])


def echo(request_id, params):
    return text(params["arguments"].get("text", ""))


def whoami(request_id, params):
    return text(str(os.getpid()))


def meta(request_id, params):
    return text(params["_meta"])


def arguments(request_id, params):
    return text(params["arguments"])


def number(request_id, params):
    return {**text("42"), "structuredContent": 42}


def structure(request_id, params):
    return {**text("42"), "structuredContent": {"n": 42}}


def report(request_id, params):
    for done in (1, 2):
        progress = {"progressToken": params["_meta"]["progressToken"], "progress": done, "total": 2}
        send({"method": "notifications/progress", "params": progress})
    return text("reported")


def log(request_id, params):
    if (level := params["_meta"].get(META + "logLevel")) is not None:
        send({"method": "notifications/message", "params": {"level": level, "data": "logged"}})
    return text("logged")


def hold(request_id, params):
    print("holding", file=sys.stderr, flush=True)


def cancelled(request_id, params):
    return text(CANCELLED)


def ask(request_id, params):
    """Asks for a name, then for a colour, and knows from its state how far it is."""
    answers, state = params.get("inputResponses", {}), json.loads(params.get("requestState", "{}"))
    state.update({key: answer.get("content") for key, answer in answers.items()})
    wanted = next((key for key in ("name", "colour") if key not in state), None)
    if wanted is None:
        return text(state)
    return asking({wanted: elicitation(f"your {wanted}")}, json.dumps(state))


def ask_at_once(request_id, params):
    """Asks for two things in one round, of two kinds."""
    if "inputResponses" in params:
        return text(params["inputResponses"])
    return asking({"roots": {"method": "roots/list"}, "name": elicitation("your name")}, "state")


def ask_without_end(request_id, params):
    return asking({"more": elicitation("more")}, "state")


def ask_elsewhere(request_id, params):
    if "inputResponses" in params:
        return text(params["inputResponses"])
    question = {"mode": "url", "message": "there", "url": "https://example.org/"}
    return asking({"there": {"method": "elicitation/create", "params": question}}, None)


def wait(request_id, params):
    """Wants to be asked again, twice."""
    turn = int(params.get("requestState", "0"))
    return text("waited") if turn == 2 else asking({}, str(turn + 1))


def odd(request_id, params):
    return {"resultType": "something else"}


def change(request_id, params):
    for listen, wanted in LISTENS.items():
        tagged = {"_meta": {META + "subscriptionId": listen}}
        if wanted.get("toolsListChanged"):
            send({"method": "notifications/tools/list_changed", "params": tagged})
        for uri in wanted.get("resourceSubscriptions", []):
            send({"method": "notifications/resources/updated", "params": {"uri": uri, **tagged}})
    return text(sorted(str(listen) for listen in LISTENS))


def stop_listening(request_id, params):
    for listen in list(LISTENS):
        del LISTENS[listen]
        send({"id": listen, "result": complete()})
    return text("stopped")


def elicitation(message):
    schema = {"type": "object", "properties": {"value": {"type": "string"}}}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def asking(questions, state):
    result = {"resultType": "input_required"}
    if questions:
        result["inputRequests"] = questions
    if state is not None:
        result["requestState"] = state
    return result


TOOLS = {
    name: each
    for name, each in list(globals().items())
    if callable(each) and each.__code__.co_varnames[: each.__code__.co_argcount] == ("request_id", "params")
}


def refuse(code, message, **data):
    return {"code": code, "message": message, "data": data}


def discover(request_id, params):
    capabilities = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
        "logging": {},
        "extensions": {"example": {}},
    }
    said = complete(supportedVersions=[VERSION], capabilities=capabilities, ttlMs=0, cacheScope="private")
    return said | {"instructions": "be modern"}


def list_tools(request_id, params):
    schema = {"type": "object"}
    tools = [{"name": name, "inputSchema": schema} for name in TOOLS]
    by_name = {tool["name"]: tool for tool in tools}
    by_name["structure"]["outputSchema"] = schema
    by_name["number"]["outputSchema"] = {"type": "integer"}
    return complete(tools=tools, ttlMs=0, cacheScope="private")


def call_tool(request_id, params):
    tool = TOOLS.get(params["name"])
    return refuse(-32602, "no such tool") if tool is None else tool(request_id, params)


def read(request_id, params):
    if params["uri"] != "note://1":
        return refuse(-32602, "no such resource", uri=params["uri"])
    return complete(contents=[{"uri": "note://1", "text": "a note"}], ttlMs=0, cacheScope="private")


def listen(request_id, params):
    wanted = params["notifications"]
    honoured = {**wanted}
    uris = [uri for uri in wanted.get("resourceSubscriptions", []) if uri.startswith("note://")]
    if "resourceSubscriptions" in wanted:
        honoured["resourceSubscriptions"] = uris
    LISTENS[request_id] = honoured
    tagged = {"_meta": {META + "subscriptionId": request_id}, "notifications": honoured}
    send({"method": "notifications/subscriptions/acknowledged", "params": tagged})


METHODS = {
    "server/discover": discover,
    "tools/list": list_tools,
    "tools/call": call_tool,
    "resources/read": read,
    "subscriptions/listen": listen,
}


def serve(message):
    request_id, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if method == "notifications/cancelled":
        CANCELLED.append(params["requestId"])
        LISTENS.pop(params["requestId"], None)
    if request_id is None or method is None:
        return
    if method == "initialize":
        result = refuse(-32022, "unsupported", supported=[VERSION], requested=params.get("protocolVersion"))
    elif META + "protocolVersion" not in params.get("_meta", {}):
        result = refuse(-32602, "the envelope is missing")
    elif not isinstance(params["_meta"].get(META + "clientInfo", {}).get("name", ""), str):
        result = refuse(-32602, "the client has no name")
    elif method not in METHODS:
        result = refuse(-32601, "no such method")
    else:
        result = METHODS[method](request_id, params)
    if result is not None:
        send({"id": request_id, "error" if "code" in result else "result": result})


for line in sys.stdin:
    serve(json.loads(line))
