"""A stdio MCP server without the SDK that has pictures, resources and prompts, some of them hostile.

Run it with `python -I -S gallery.py`. Its tools: `show`, whose result is the `content` that it is given; `picture`, of so
many bytes; `fail`, with a picture; `note`, its state; and `ask`, which asks the caller, and so often at once.
"""

import base64
import json
import sys

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
NOTES = []
ASKED = {}
HEARD = {}
PER_PAGE = 2


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def encoded(data):
    return base64.b64encode(data).decode()


def image(data=PICTURE, kind="image/png"):
    return {"type": "image", "mimeType": kind, "data": encoded(data)}


def said(value):
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def resources():
    return [
        {"uri": "gallery://picture.png", "name": "picture", "mimeType": "image/png"},
        {"uri": "gallery://page.html", "name": "page", "mimeType": "text/html"},
        {"uri": "gallery://drawing.svg", "name": "drawing", "mimeType": "image/svg+xml"},
        {"uri": "gallery://x/a%22%0d%0aSet-Cookie:%20a=b", "name": "hostile", "mimeType": "text/html\r\nX: y"},
        {"uri": "gallery://notes", "name": "notes"},
    ]


def read(uri):
    page = "<script>alert(1)</script>"
    contents = {
        "gallery://picture.png": {"blob": encoded(PICTURE)},
        "gallery://page.html": {"text": page},
        "gallery://drawing.svg": {"text": f"<svg>{page}</svg>"},
        "gallery://notes": {"text": json.dumps(NOTES)},
        resources()[3]["uri"]: {"text": page},
    }
    if uri not in contents:
        raise LookupError
    known = next((each for each in resources() if each["uri"] == uri), {})
    return {
        "contents": [{"uri": uri, **({"mimeType": known["mimeType"]} if "mimeType" in known else {}), **contents[uri]}]
    }


def page_of(items, key, params):
    start = int(params.get("cursor", "0"))
    page = {key: items[start : start + PER_PAGE]}
    return {**page, "nextCursor": str(start + PER_PAGE)} if start + PER_PAGE < len(items) else page


def ask(request_id, params):
    schema = {"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}
    lines = []
    for number in range((params.get("arguments") or {}).get("times", 1)):
        ASKED[number] = request_id
        question = {"message": f"which {number}?", "requestedSchema": schema}
        lines.append({"jsonrpc": "2.0", "id": number, "method": "elicitation/create", "params": question})
    sys.stdout.write("".join(json.dumps(line) + "\n" for line in lines))
    sys.stdout.flush()


def hear(number, reply):
    HEARD[number] = reply
    request_id = ASKED.pop(number)
    if not ASKED:
        send(id=request_id, result={**said(HEARD), "messages": []})
        HEARD.clear()


def call(request_id, params):
    arguments = params.get("arguments") or {}
    match params["name"]:
        case "show":
            return {"content": arguments["content"]}
        case "picture":
            return {"content": [{"type": "text", "text": "here it is"}, image(b"\x00" * arguments["bytes"])]}
        case "fail":
            return {"content": [{"type": "text", "text": "it is torn"}, image()], "isError": True}
        case "note":
            NOTES.append(arguments["text"])
            return said("noted")
        case "ask":
            return ask(request_id, params)


def prompt(request_id, params):
    if params["name"] == "ask":
        return ask(request_id, params)
    if not params["name"].startswith("describe"):
        raise LookupError(params["name"])
    message = {"role": "user", "content": {"type": "text", "text": json.dumps(params)}}
    return {"description": "as asked", "messages": [message]}


def answer(request_id, method, params):
    if method == "initialize":
        info = {"name": "gallery", "version": "1"}
        capabilities = {"tools": {}, "resources": {}, "prompts": {}}
        return {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": info}
    if method == "tools/list":
        names = ("show", "picture", "fail", "note", "ask")
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]}
    if method == "tools/call":
        return call(request_id, params)
    if method == "resources/list":
        return page_of(resources(), "resources", params)
    if method == "resources/templates/list":
        return {"resourceTemplates": [{"uriTemplate": "gallery://{name}", "name": "any", "_meta": {"kept": True}}]}
    if method == "resources/read":
        return read(params["uri"])
    if method == "prompts/list":
        return {"prompts": [{"name": name} for name in ("describe/this one", "ask")]}
    return prompt(request_id, params)


def main():
    for line in sys.stdin:
        message = json.loads(line)
        request_id, method = message.get("id"), message.get("method")
        if method is None:
            hear(request_id, message.get("result", message.get("error")))
        elif request_id is not None:
            try:
                result = answer(request_id, method, message.get("params") or {})
            except LookupError:
                send(id=request_id, error={"code": -32002, "message": "no such thing"})
            else:
                if result is not None:
                    send(id=request_id, result=result)


main()
