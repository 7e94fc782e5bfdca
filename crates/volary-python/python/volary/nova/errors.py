"""Volary's exceptions as those that callers of Nova's driver know."""

import errno

import rados
import rbd

import volary

_CLASSES = {
    volary.NotFoundError: (rbd.ImageNotFound, errno.ENOENT),
    volary.AlreadyExistsError: (rbd.ImageExists, errno.EEXIST),
    volary.BlockedError: (rbd.ImageBusy, errno.EBUSY),
    volary.PartialError: (rbd.ImageBusy, errno.EBUSY),
    volary.PermissionDeniedError: (rbd.PermissionError, errno.EPERM),
    volary.NoSpaceError: (rbd.NoSpace, errno.ENOSPC),
    volary.UsageError: (rbd.InvalidArgument, errno.EINVAL),
    volary.UnsupportedError: (rbd.FunctionNotSupported, errno.ENOSYS),
    volary.DeadlineError: (rbd.Timeout, errno.ETIMEDOUT),
    volary.UnreachableError: (rados.TimedOut, errno.ETIMEDOUT),
    volary.CancelledError: (rbd.OperationCanceled, errno.ECANCELED),
}

# Of a connection or a pool it is librados that speaks.
_OF_RADOS = {
    volary.NotFoundError: (rados.ObjectNotFound, errno.ENOENT),
    volary.PermissionDeniedError: (rados.PermissionDeniedError, errno.EACCES),
    volary.DeadlineError: (rados.TimedOut, errno.ETIMEDOUT),
}


def translated(error):
    """The exception that stands for one of Volary's; its message is the whole report, with the hint."""
    classes = dict(_CLASSES)
    if "volume" not in error.context or "no such pool" in str(error):
        classes.update(_OF_RADOS)
    found, number = classes.get(type(error), (rbd.OSError, errno.EIO))
    if found is rbd.ImageBusy and _kinds(error) & {"snapshot", "protected", "child"}:
        found, number = rbd.ImageHasSnapshots, errno.ENOTEMPTY
    message = str(error) if error.hint is None else f"{error} ({error.hint})"
    return found(message, errno=number)


def _kinds(error):
    report = error.report
    blockers = report.get("blockers", []) if isinstance(report, dict) else []
    return {blocker["kind"] for blocker in blockers}
