"""Child processes that may be killed."""

import os
import warnings


def fork():
    """Fork the process without warnings about its threads (of Python, of JAX), which the child does not use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return os.fork()


def forked(child, path=None):
    """Run something in a child process; return how it ended: a signal, or an exit code."""
    pid = fork()
    if pid == 0:
        try:
            child()
        except BaseException as error:
            if path is not None:
                path.write_text(f"{type(error).__name__}: {error}")
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
