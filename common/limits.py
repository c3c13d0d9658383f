"""How many files a process may have open."""

import resource


def raise_open_files_limit() -> int:
    """Raise this process's soft RLIMIT_NOFILE to the hard one; returns the old soft limit, which children get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
