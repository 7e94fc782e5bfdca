"""Nova's plain names as Volary's specs, and back; locations."""

import re
import urllib.parse

from nova import exception


def escaped(name):
    """A name as Volary takes it: whatever is not plain as ``\\xNN``."""
    name = name.encode("utf-8", "surrogateescape") if isinstance(name, str) else bytes(name)
    return re.sub(rb"[^A-Za-z0-9._-]", lambda found: b"\\x%02x" % found.group()[0], name).decode("ascii")


def plain(text):
    """A name as it is, from how Volary shows it."""
    found = re.sub(
        rb"\\(?:x([0-9a-f]{2})|\\)",
        lambda of: bytes([int(of.group(1), 16)]) if of.group(1) else b"\\",
        text.encode("utf-8"),
    )
    return found.decode("utf-8", "surrogateescape")


def spec(pool, name, snapshot=None):
    """The spec of a volume or snapshot in a pool's default namespace."""
    of = f"{escaped(pool)}/{escaped(name)}"
    return of if snapshot is None else f"{of}@{escaped(snapshot)}"


def location(url):
    """Store id, pool, image and snapshot of an ``rbd://`` URL."""
    scheme, found, rest = url.partition("rbd://")
    pieces = [urllib.parse.unquote(piece) for piece in rest.split("/")]
    if scheme or not found:
        reason = "it is no location in RBD"
    elif not all(pieces):
        reason = "a piece of its location is empty"
    elif len(pieces) != 4:
        reason = "its location is not that of a snapshot"
    else:
        return pieces
    raise exception.ImageUnacceptable(image_id=url, reason=reason)


def quoted(store_id, pool, image, snapshot):
    """The URL of four pieces, each encoded the way Volary reads it."""
    return "rbd://" + "/".join(urllib.parse.quote(piece, safe="") for piece in (store_id, pool, image, snapshot))
