"""Volary in the place of OpenStack Nova's RBD driver.

``install()`` puts it there, in a process that has loaded Nova or is going to; ``uninstall()`` takes it back. Nova itself is
not changed. What is different on purpose is told in docs/nova.md, row by row.
"""

import importlib.abc
import importlib.util
import sys

__all__ = ["install", "uninstall"]

_MODULE = "nova.storage.rbd_utils"
_NAMES = ("RBDDriver", "RBDVolumeProxy", "RADOSClient")
_taken = {}
_options = {}


def install(*, allow_shrink: bool = False, accept_mismatch: bool = False) -> None:
    """Makes Nova use Volary for its volumes in RBD, from now on or from when it loads its own driver on.

    ``allow_shrink`` lets ``RBDDriver.resize`` make a volume smaller, which takes data away. ``accept_mismatch`` lets
    ``RBDDriver.export_image`` take a snapshot that is not what was recorded of it, to rescue what is left.
    """
    _options.update(allow_shrink=allow_shrink, accept_mismatch=accept_mismatch)
    if _MODULE in sys.modules:
        _replace(sys.modules[_MODULE])
    elif _finder not in sys.meta_path:
        # Nova must be loaded by itself, for it patches what it loads.
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Gives Nova its own driver back; drivers that were made before stay what they are."""
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    module = sys.modules.get(_MODULE)
    for name in _NAMES:
        if name in _taken:
            setattr(module, name, _taken.pop(name))


def theirs(name):
    """Nova's own class of that name."""
    return _taken.get(name) or getattr(sys.modules[_MODULE], name)


def _replace(module):
    from volary.nova import driver

    driver.RBDDriver.allow_shrink = _options["allow_shrink"]
    driver.RBDDriver.accept_mismatch = _options["accept_mismatch"]
    for name in _NAMES:
        _taken.setdefault(name, getattr(module, name))
        setattr(module, name, getattr(driver, name))


class _Loader(importlib.abc.Loader):
    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        _replace(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


_finder = _Finder()
