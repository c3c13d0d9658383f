"""The lane: how hot requests are carried, below Hypercorn.

Hypercorn has a task group, two or three tasks, a queue and h11's objects for each request, which cost more than all
the rest of a call. So a connection is ours first. At rest it is a protocol on a transport, and nothing else: no task, no
timer of its own, no parser. When a request comes which the hot doors take, it is read here, answered by one task, and
written with one call. Whatever else comes goes to Hypercorn as it came, not one byte of it consumed; Hypercorn has the
connection until it has answered, and then gives it back.

`request` reads heads and `answer` writes them; both are pure. `connection` is one connection, `cold` is Hypercorn on it,
`clock` is the deadlines of all of them, and `carrier` all connections of a server.
"""
