"""Reads every byte that an image has, 16 reads of an object's size in flight."""

import sys
import threading

import rados
import rbd

conf, name = sys.argv[1:]
cluster = rados.Rados(conffile=conf)
cluster.connect()
ioctx = cluster.open_ioctx("rbd")
image = rbd.Image(ioctx, name, read_only=True)
size = image.stat()["obj_size"]
extents = []
image.diff_iterate(0, image.size(), None, lambda offset, length, exists: extents.append((offset, length)), whole_object=True)
flight = threading.Semaphore(16)
for offset, length in extents:
    for at in range(offset, offset + length, size):
        flight.acquire()
        image.aio_read(at, min(size, offset + length - at), lambda completion, data: flight.release())
for _ in range(16):
    flight.acquire()
image.close()
ioctx.close()
cluster.shutdown()
