"""Frames of a video at an even rate, by OpenCV, which decodes with FFmpeg and is here for the pictures anyway."""

import math
import os
from collections.abc import Iterator
from typing import BinaryIO

import cv2
import numpy as np

from pipeline.campaign.faults import Fault
from pipeline.serving.pictures import by_name, too_many_pixels

FORMATS = ("MP4", "MOV", "MKV", "WebM", "AVI")  # that `is_video` knows

# What FFmpeg may take a file for, by its own names: `is_video` looks at a few bytes, and what has them can be something
# else further on, as a description of a stream (SDP), for which FFmpeg opens ports and waits.
_DEMUXERS = "mov,mp4,matroska,webm,avi"

_MATROSKA = b"\x1aE\xdf\xa3"  # what it and WebM begin with

_STILL = 0.5  # seconds after which a frame that stays counts again; where they come faster each counts once
_LONGEST = 600  # seconds that a frame is taken to stay, at most; a time that says more is damaged

_BROKEN = (
    "The file starts as a video and can't be played; "
    "it probably holds only sound, or was not copied or downloaded to its end."
)
_NO_PICTURE = "The video has no picture in it."


def is_video(head: bytes) -> bool:
    """Whether a file's first bytes are those of MP4 or MOV, Matroska or WebM, or AVI.

    Nothing else is given to FFmpeg, which would also take lists that name other files and addresses, and it is held to
    these formats where it tells them by more of the file.
    """
    boxes = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    if by_name(head):  # HEIC, AVIF and CR3 are pictures in a video's wrapping
        return False
    return head[4:8] in boxes or head[:4] == _MATROSKA or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


class Video:
    """An open video of frames of at most so many pixels. seconds: as long as its header says, 0.0 where it doesn't."""

    def __init__(self, file: BinaryIO, pixels: int):
        """Fault for one that can't be opened, Unreadable for larger frames; `file` has to stay open."""
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong with a file is said by its fault
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"format_whitelist;{_DEMUXERS}"  # whatever else was set
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._from_zero = file.read(len(_MATROSKA)) == _MATROSKA
        file.seek(0)
        try:
            self.capture = cv2.VideoCapture(file, cv2.CAP_FFMPEG, [])
        except cv2.error:
            raise Fault(_BROKEN) from None
        if not self.capture.isOpened():
            raise Fault(_BROKEN)
        self.pixels = pixels
        self._refuse_large(self._says(cv2.CAP_PROP_FRAME_WIDTH), self._says(cv2.CAP_PROP_FRAME_HEIGHT))
        self.rate = self._says(cv2.CAP_PROP_FPS)
        self.count = self._says(cv2.CAP_PROP_FRAME_COUNT)
        self.seconds = self.count / self.rate if self.rate else 0.0

    def frames(self, per_second: float) -> Iterator[tuple[float, float, np.ndarray]]:
        """So many frames of each second: when each is looked at, since when it stays, and uint8 [height, width, 3].

        Upright; one is held at a time. A frame that stays, as a slide does, comes again each time that one is due. At
        the end `seconds` is as long as what was read, if the header says less. Fault then for a video that has no
        frame, or that ends well before its header says.
        """
        look, number, second, gap, shown = 0, 0, 0.0, 0.0, None

        def again(until: float) -> Iterator[tuple[float, float, np.ndarray]]:
            nonlocal look
            while until - second > _STILL and look / per_second < min(until, second + _LONGEST) - 1e-6:
                yield look / per_second, second, cv2.cvtColor(shown, cv2.COLOR_BGR2RGB)
                look += 1

        while self.capture.grab():
            if not number and self._from_zero:
                self._leave_out_what_is_before()
            now = self._now(number)
            if number:
                gap = max(0.0, now - second)
            if shown is not None:
                yield from again(now)
            second, number = now, number + 1
            if look / per_second - second > 1 / per_second:  # times that jump back
                look = math.floor(second * per_second)
            there, frame = self.capture.retrieve()  # of each, since how long it stays is told by the next
            if not there:
                break
            self._refuse_large(frame.shape[1], frame.shape[0])
            shown = frame
            if second >= look / per_second - 1e-6:
                look = math.floor(second * per_second + 1e-6) + 1
                yield second, second, cv2.cvtColor(shown, cv2.COLOR_BGR2RGB)
        if shown is None:
            raise Fault(_NO_PICTURE)
        # The last frame may stay as long as the one before it; of MP4 and MOV the header says how many there are.
        missing = self.seconds - second - gap
        if missing > max(1.0, 0.05 * self.seconds) and number < 0.95 * self.count:
            raise Fault(f"It ends after {second:.0f} of {self.seconds:.0f} seconds; what is there was read.")
        if self.seconds <= second:
            self.seconds = second + (1 / self.rate if self.rate else 0.0)
        yield from again(self.seconds)

    def _now(self, number: int) -> float:
        """Second of the frame, of this number from 0, that was grabbed last."""
        second = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return number / self.rate if second <= 0 and self.rate else second  # some streams have no times

    def _leave_out_what_is_before(self) -> None:
        """Have `seconds` and `count` begin with the frame grabbed, the first: Matroska's header counts from zero.

        Times of frames count from that frame anyway; it comes later where a part was cut out that kept its times.
        """
        if self.rate:
            before = max(0.0, self.capture.get(cv2.CAP_PROP_PTS))  # in frames
            self.count = max(0.0, self.count - before)
            self.seconds = self.count / self.rate

    def _says(self, which: int) -> float:
        """A value of the header, 0.0 where it has none or nonsense."""
        value = self.capture.get(which)
        return value if math.isfinite(value) and value > 0 else 0.0

    def _refuse_large(self, width: float, height: float) -> None:
        if width * height > self.pixels:
            raise too_many_pixels("video", (int(width), int(height)), self.pixels)
