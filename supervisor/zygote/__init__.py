"""Python servers from a zygote: their modules are imported once, then one fork serves each session.

`template` is the program inside the server's own Python, which imports and forks; `programs` says which servers can have
one; `blanks` is a fork that is to become a session; `zygotes` keeps one process for each server that wants it.

What makes it safe, and what the supervisor sees to itself, for a zygote runs the server's code and is not trusted:

* A zygote is started as a session of its server is: as its user, with its limits, in a room, a cgroup leaf and a tree of
  its own, with a tag of its own. It is given nothing of any user's.
* It forks only where the import has left one thread, no descriptor, no child and no memory that forks would share.
* A fork is adopted by the supervisor, which waits for it, and outlives the zygote. The kernel says which process
  speaks (SCM_CREDENTIALS), and it must be a child of the supervisor's that leads a session of its own and bears the
  zygote's tag.
* Only then, while it waits, it is moved into the session's cgroup and given the session's tag, by the supervisor; and
  only after that it is told its environment, and given its pipes, over a socket that the zygote has closed. So a
  session's values never pass through the zygote, and all that a session starts bears its marks.
* One fork is made ahead, and waits as a blank does: it has run nothing, and bears the zygote's marks, so it ends with it.
* Whatever goes wrong, the session is started as without a zygote, and the zygote is made anew.

Not where each session has its own user id (`uid_range`), a sandbox or a PID namespace: a fork cannot get into those.
"""
