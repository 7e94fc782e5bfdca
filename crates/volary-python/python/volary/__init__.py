"""Block volumes of virtual machines: on Ceph RBD, or in a directory of this host.

``Store`` is where everything starts; ``Volume`` is one of its volumes by name. Exceptions are all ``volary.Error``, one class for each kind; the types of the answers
are in ``volary.reports``. Nothing is printed, and nothing is read from the environment.
"""

import atexit
import os

from . import _volary, reports
from ._volary import (
    AlreadyExistsError,
    BlockedError,
    CancelledError,
    DeadlineError,
    Error,
    InternalError,
    MismatchError,
    NoSpaceError,
    NotFoundError,
    PartialError,
    PermissionDeniedError,
    RefusedError,
    SourceChangedError,
    Store,
    UnreachableError,
    UnsupportedError,
    UsageError,
    __version__,
    doctor,
    inspect,
)
from .volume import Volume

__all__ = [
    "AlreadyExistsError",
    "BlockedError",
    "CancelledError",
    "DeadlineError",
    "Error",
    "InternalError",
    "MismatchError",
    "NoSpaceError",
    "NotFoundError",
    "PartialError",
    "PermissionDeniedError",
    "RefusedError",
    "SourceChangedError",
    "Store",
    "UnreachableError",
    "UnsupportedError",
    "UsageError",
    "Volume",
    "__version__",
    "doctor",
    "inspect",
    "reports",
]

os.register_at_fork(before=_volary.before_fork)
atexit.register(_volary.close_all)
