"""One child for several sessions of one principal, and a session that goes on with another child.

`whose` says which sessions share one, `multiplexer` which of them gets which message, `tokens` and `subscriptions` what
it has to remember for that; these are pure. `shared` is the child, `lane` is one session's part in it, in place of a
child of its own, and `shares` is the table.
"""
