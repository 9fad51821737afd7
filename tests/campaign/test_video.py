"""Frames of videos: which ones, when, and of what is broken the reason."""

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.campaign.faults import Fault
from pipeline.campaign.video import Video, is_video
from pipeline.serving.pictures import Unreadable

KINDS = {"mp4": "mp4v", "mkv": "mp4v", "avi": "MJPG", "webm": "VP80", "mov": "mp4v"}


def filmed(path: Path, frames: int = 50, rate: int = 10, size: tuple[int, int] = (64, 48)) -> bytes:
    """A video whose frames grow brighter."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*KINDS[path.suffix[1:]]), rate, size)
    for number in range(frames):
        writer.write(np.full((*size[::-1], 3), number * 4 % 256, np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("suffix", KINDS)
def test_frames_come_at_an_even_rate_in_rgb_with_their_seconds(tmp_path, suffix):
    data = filmed(tmp_path / f"a.{suffix}")
    assert is_video(data[:16])
    video = Video(io.BytesIO(data), 10**6)
    found = [*video.frames(2)]
    assert video.seconds == pytest.approx(5, abs=0.2)
    assert [second for second, _ in found] == pytest.approx(np.arange(10) / 2, abs=0.051)
    assert [frame.mean() for _, frame in found] == pytest.approx(20.0 * np.arange(10), abs=6)
    assert found[0][1].shape == (48, 64, 3) and found[0][1].dtype == np.uint8


def test_a_rate_over_the_videos_own_gives_each_frame_once(tmp_path):
    assert len([*Video(io.BytesIO(filmed(tmp_path / "a.mp4", 20)), 10**6).frames(60)]) == 20


@pytest.mark.parametrize(
    "head",
    (
        b"#EXTM3U\n#EXTINF:1,\n",
        b"ffconcat version 1.0",
        b"<svg xmlns=",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x1cftypavif",
        b"\0\0\0\x18ftypmif1",
    ),
)
def test_lists_and_pictures_are_no_videos(head):
    assert not is_video(head)


def test_a_video_that_cannot_be_played_says_so(tmp_path):
    data = filmed(tmp_path / "a.mp4")
    for broken in (data[:200], data[: len(data) // 2], data[:16] + bytes(2000), b"\x1aE\xdf\xa3" + b"x" * 500):
        with pytest.raises(Fault, match=r"can't be played|no picture"):
            [*Video(io.BytesIO(broken), 10**6).frames(2)]


def test_a_video_that_ends_early_gives_what_is_there_and_says_so(tmp_path):
    data = filmed(tmp_path / "a.avi", 100)
    video, seconds = Video(io.BytesIO(data[: len(data) // 2]), 10**6), []
    with pytest.raises(Fault, match=r"ends after [3-6] of 10 seconds"):
        for second, _ in video.frames(2):
            seconds.append(second)
    assert len(seconds) >= 6


def test_random_damage_never_ends_in_anything_but_frames_or_a_fault(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ("mp4", "webm"):
        data = np.frombuffer(filmed(tmp_path / f"a.{suffix}", 20), np.uint8)
        for _ in range(25):
            damaged = data.copy()
            damaged[rng.integers(16, len(data), 12)] = rng.integers(0, 256, 12)
            with contextlib.suppress(Fault, Unreadable):
                assert len([*Video(io.BytesIO(damaged.tobytes()), 10**6).frames(2)]) < 1000


def test_frames_of_too_many_pixels_are_refused_before_one_is_decoded(tmp_path):
    said = r"The video has too many pixels, 64 x 48 = 0\.1 million; make it smaller, 0\.003 million at most\."
    with pytest.raises(Unreadable, match=said):
        Video(io.BytesIO(filmed(tmp_path / "a.mp4", 3)), 3000)
