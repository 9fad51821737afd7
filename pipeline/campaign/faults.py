"""What keeps a file from being read."""

from pipeline.serving.pictures import Unreadable


class Fault(Exception):
    """Why a file, or the rest of one, could not be read, in words for people."""


FAULTS = (Fault, Unreadable)
