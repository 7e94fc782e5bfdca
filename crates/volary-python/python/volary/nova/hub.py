"""Keeping eventlet's hub free: Volary's calls block the thread that makes them, so they are made on another."""

import os
import threading

from eventlet import tpool

# The process whose pool of threads was made; a forked child has the pool, but none of its threads.
_pool_of = None


def aside(call, *args, **kwargs):
    """Calls where it holds nobody up, and returns what it returns."""
    global _pool_of
    # Green threads all run on the first thread; on any other there is no hub to be held up, and the pool, whose answers come in
    # through the hub, would never answer.
    if threading.get_native_id() != os.getpid():
        return call(*args, **kwargs)
    if _pool_of is None:
        _pool_of = os.getpid()
    if _pool_of != os.getpid():
        return call(*args, **kwargs)
    return tpool.execute(call, *args, **kwargs)
