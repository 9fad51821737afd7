"""Frames of videos: which ones, when, and of what is broken the reason."""

import contextlib
import io
import socket
import struct
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.campaign.faults import Fault
from pipeline.campaign.video import Video, is_video
from pipeline.serving.pictures import Unreadable

KINDS = {"mp4": "mp4v", "mkv": "mp4v", "avi": "MJPG", "webm": "VP80", "mov": "mp4v"}


def filmed(path: Path, frames: int = 50, rate: float = 10, size: tuple[int, int] = (64, 48), step: int = 4) -> bytes:
    """A video whose frames grow brighter, by so much each."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*KINDS[path.suffix[1:]]), rate, size)
    for number in range(frames):
        writer.write(np.full((*size[::-1], 3), number * step % 256, np.uint8))
    writer.release()
    return path.read_bytes()


def stills(path: Path, tenths: list[int]) -> bytes:
    """A video of frames that come at these tenths of a second, each brighter by 20."""
    raw = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1, cv2.VIDEOWRITER_PROP_KEY_INTERVAL, 1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48), raw)
    for number, tenth in enumerate(tenths):
        writer.set(cv2.VIDEOWRITER_PROP_PTS, tenth)
        writer.write(cv2.imencode(".jpg", np.full((48, 64, 3), number * 20, np.uint8))[1].reshape(1, -1))
    writer.release()
    return path.read_bytes()


def looked_at(data: bytes, per_second: float = 2) -> tuple[Video, list[float], list[int]]:
    """The video, and of the frames looked at the seconds and the brightness."""
    video = Video(io.BytesIO(data), 10**6)
    found = [*video.frames(per_second)]
    return video, [second for second, _, _ in found], [round(float(frame.mean())) for _, _, frame in found]


@pytest.mark.parametrize("suffix", KINDS)
def test_frames_come_at_an_even_rate_in_rgb_with_their_seconds(tmp_path, suffix):
    data = filmed(tmp_path / f"a.{suffix}")
    assert is_video(data[:16])
    video = Video(io.BytesIO(data), 10**6)
    found = [*video.frames(2)]
    assert video.seconds == pytest.approx(5, abs=0.2)
    assert (
        [second for second, _, _ in found]
        == [since for _, since, _ in found]
        == pytest.approx(np.arange(10) / 2, abs=0.051)
    )
    assert [frame.mean() for _, _, frame in found] == pytest.approx(20.0 * np.arange(10), abs=6)
    assert found[0][2].shape == (48, 64, 3) and found[0][2].dtype == np.uint8


def test_a_rate_over_the_videos_own_gives_each_frame_once(tmp_path):
    assert len([*Video(io.BytesIO(filmed(tmp_path / "a.mp4", 20)), 10**6).frames(60)]) == 20


@pytest.mark.parametrize("rate", (0.2, 0.7, 1))
def test_a_slide_counts_for_as_long_as_it_is_shown_and_its_video_does_not_end_early(tmp_path, rate):
    video, seconds, bright = looked_at(filmed(tmp_path / "a.mp4", 4, rate, step=60))
    assert video.seconds == pytest.approx(4 / rate, abs=0.01)
    assert seconds == pytest.approx(np.arange(len(seconds)) / 2, abs=0.01)
    assert len(seconds) == np.ceil(8 / rate)
    assert bright == pytest.approx([60 * int(second * rate + 0.001) for second in seconds], abs=6)


@pytest.mark.parametrize("suffix", ("mkv", "mov"))
def test_in_a_video_of_uneven_frames_the_one_on_the_screen_is_looked_at_and_its_length_is_told(tmp_path, suffix):
    tenths = [0, 20, 23, 24, 26, 27, 60, 61, 62]
    video, seconds, bright = looked_at(stills(tmp_path / f"a.{suffix}", tenths))
    assert video.seconds == pytest.approx(6.3)  # OpenCV says 0.9 of the MOV
    assert seconds == pytest.approx([0, 0.5, 1, 1.5, 2, 2.6, 3, 3.5, 4, 4.5, 5, 5.5, 6])
    assert bright == [0] * 4 + [20, 80] + [100] * 6 + [120]


@pytest.mark.parametrize("suffix", ("mkv", "mov"))
def test_a_card_that_stays_after_even_motion_is_looked_at_itself_and_since_when_is_told(tmp_path, suffix):
    data = stills(tmp_path / f"a.{suffix}", [*range(12), 71])
    _, seconds, bright = looked_at(data)
    assert seconds == pytest.approx(np.arange(15) / 2)
    assert bright[3:15] == [220] * 12, "the twelfth frame, not the last one that was due"
    since = [since for _, since, _ in Video(io.BytesIO(data), 10**6).frames(2)]
    assert since[3:15] == pytest.approx([1.1] * 12)


def test_the_last_frame_counts_for_as_long_as_it_is_shown(tmp_path):
    video, seconds, _ = looked_at(filmed(tmp_path / "a.mp4", 1, 0.1))
    assert video.seconds == pytest.approx(10) and seconds == pytest.approx(np.arange(20) / 2)
    data = bytearray(stills(tmp_path / "a.mkv", [0, 40, 41]))
    assert looked_at(bytes(data))[0].seconds == pytest.approx(4.2)
    at = data.index(b"\x44\x89\x88") + 3  # Duration of Matroska, a float of eight bytes
    data[at : at + 8] = struct.pack(">d", 5000)
    video, seconds, bright = looked_at(bytes(data))
    assert video.seconds == pytest.approx(5)
    assert seconds == pytest.approx(np.arange(10) / 2) and bright == [0] * 8 + [20] + [40]


def test_a_video_whose_header_says_no_length_is_as_long_as_what_was_read(tmp_path):
    data = bytearray(filmed(tmp_path / "a.webm"))
    at = data.index(b"\x44\x89\x88")
    data[at : at + 11] = b"\xec\x89" + bytes(9)  # Void in place of Duration, as in what was written live
    assert Video(io.BytesIO(data), 10**6).seconds == 0
    video, seconds, _ = looked_at(bytes(data))
    assert video.seconds == pytest.approx(5, abs=0.05) and len(seconds) == 10


def test_a_part_cut_out_that_keeps_its_times_is_whole_and_as_long_as_what_is_in_it(tmp_path):
    for suffix in ("mkv", "mov"):
        video, seconds, bright = looked_at(stills(tmp_path / f"a.{suffix}", [*range(1000, 1012)]))
        assert video.seconds == pytest.approx(1.2) and seconds == pytest.approx([0, 0.5, 1]), suffix
        assert bright == [0, 100, 200]


def test_a_time_that_is_damaged_is_not_waited_for(tmp_path):
    _, seconds, _ = looked_at(stills(tmp_path / "a.mkv", [0, 1, 10**8, 10**8 + 1]))
    assert len(seconds) < 1300 and seconds[-1] == 10**7


def test_of_sound_alone_it_is_said_that_it_may_be_that(tmp_path):
    data = filmed(tmp_path / "a.mp4", 3).replace(b"vide", b"soun")
    with pytest.raises(Fault, match="holds only sound"):
        Video(io.BytesIO(data), 10**6)


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
        b"\0\0\0\x18ftypcrx ",
    ),
)
def test_lists_and_pictures_are_no_videos(head):
    assert not is_video(head)


def test_a_video_that_cannot_be_played_says_so(tmp_path):
    data = filmed(tmp_path / "a.mp4")
    for broken in (data[:200], data[: len(data) // 2], data[:16] + bytes(2000), b"\x1aE\xdf\xa3" + b"x" * 500):
        with pytest.raises(Fault, match=r"can't be played|no picture"):
            [*Video(io.BytesIO(broken), 10**6).frames(2)]


def test_a_description_of_a_stream_that_begins_as_webm_does_opens_no_port_and_is_not_waited_for(monkeypatch):
    """The length of the header that it says is behind the end of what FFmpeg looks at to tell the format."""
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "format_whitelist;sdp")  # of the user's own
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 26\n"
    data = b"\x1aE\xdf\xa3\x10AAA\n" + sdp.encode()
    assert is_video(data[:16])
    begun = time.monotonic()
    with pytest.raises(Fault, match="can't be played"):
        [*Video(io.BytesIO(data), 10**6).frames(2)]
    assert time.monotonic() - begun < 5  # FFmpeg waits ten seconds and more for a stream


def test_a_video_that_ends_early_gives_what_is_there_and_says_so(tmp_path):
    data = filmed(tmp_path / "a.avi", 100)
    video, seconds = Video(io.BytesIO(data[: len(data) // 2]), 10**6), []
    with pytest.raises(Fault, match=r"ends after [3-6] of 10 seconds"):
        for second, _, _ in video.frames(2):
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


@pytest.mark.parametrize("rate", (10, 0.5), ids=("a frame for each look", "a frame that stays"))
def test_red_is_the_first_of_a_frames_channels_however_long_it_stays(tmp_path, rate):
    writer = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), rate, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 220), np.uint8))  # OpenCV's order: blue, green, red
    writer.release()
    found = [frame.mean((0, 1)) for *_, frame in Video(io.BytesIO((tmp_path / "a.mp4").read_bytes()), 10**6).frames(10)]
    assert len(found) >= 3
    assert all(red > 180 and blue < 40 for red, _, blue in found), found
