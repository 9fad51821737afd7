"""What keeps a file from being read."""

from pipeline.serving.pictures import Unreadable


class Fault(Exception):
    """Why a file, or the rest of one, could not be read, in words for people."""


class Copy(Fault):
    """A file of which another one before has the same bytes."""


FAULTS = (Fault, Unreadable)
