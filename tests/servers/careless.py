"""What a gateway must never be: one child for everybody, and whatever id is sent is good.

Run it with the command of a stdio MCP server as its arguments. It prints its port, and ends when its stdin does.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHILD = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
LOCK = threading.Lock()
HEALTH = {
    "status": "ok",
    "version": "0.0.1",
    "supervisor": {"answers": True},
    "reaping": "not at all",
    "outlived": 3,
    "servers": {"notepad": {"failing": "it keeps dying"}, "other": {}},
}


def ask(message):
    """The child's answer. Everything waits for everything."""
    with LOCK:
        CHILD.stdin.write(json.dumps(message).encode() + b"\n")
        CHILD.stdin.flush()
        while "id" in message:
            answer = json.loads(CHILD.stdout.readline())
            if answer.get("id") == message["id"]:
                return answer
    return None


class Careless(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, value=None, **headers):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            self.say(200, HEALTH)
        elif self.path == "/api/sessionid":
            self.say(200, {"sessionId": "1"})
        elif self.path.endswith("/mcp"):
            self.say(200, {})
        else:
            self.say(404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.path.endswith("/mcp"):
            self.say(200, {})
            return
        message = json.loads(body)
        try:
            answer = ask(message)
        except (OSError, ValueError):
            self.say(502)
            return
        self.say(202) if answer is None else self.say(200, answer, **{"Mcp-Session-Id": "one-for-all"})

    def do_DELETE(self):
        self.say(200)


server = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
CHILD.kill()
CHILD.wait()
os._exit(0)
