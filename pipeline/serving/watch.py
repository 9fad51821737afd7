"""The model in service, and its replacement while serving: a request has the old one or the new one, never both."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.exporting import names
from pipeline.running.errors import UserError
from pipeline.serving.metrics import Metrics
from pipeline.serving.model import Model

log = logging.getLogger(__name__)


class Watched:
    """The model of a folder. current: None until there is one that can be used; trouble: why there is no newer one."""

    def __init__(self, folder: Path, batch_sizes: Sequence[int], threads: int, metrics: Metrics):
        self.folder, self.batch_sizes, self.threads, self.metrics = folder, batch_sizes, threads, metrics
        self.current: Model | None = None
        self.trouble = ""
        self._seen: tuple | None = ()  # of the manifest at the last look; None: there was none

    async def watch(self, seconds: float) -> None:
        """Look at the folder every so many seconds, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(seconds)

    async def look(self) -> None:
        """Load the model if its manifest is another than at the last look; what can't be used leaves the old one."""
        stamp = self._stamp()
        if stamp == self._seen and not (stamp and self.trouble):  # a folder that was being written is tried again
            return
        self._seen = stamp
        try:
            new = await asyncio.to_thread(Model, self.folder, self.batch_sizes, self.threads)
        except Exception as error:  # whatever it is, serving goes on and the folder is looked at again
            self.metrics.swaps.labels("refused").inc()
            words = str(error) if isinstance(error, UserError) else f"{self.folder}: {error!r}"
            if words != self.trouble:
                fault = None if isinstance(error, UserError | OSError) else error
                log.warning("%s%s", words, "; the model in service stays" if self.current else "", exc_info=fault)
            self.trouble = words
            return
        self.trouble = ""
        if self.current is None or new.identity != self.current.identity:
            self.current = new
            self.metrics.swaps.labels("taken").inc()
            self.metrics.version.set(new.about["version"])
            log.info("%s: serving %s, version %s", self.folder, new.about["model"], new.about["version"])

    def _stamp(self) -> tuple | None:
        try:
            found = (self.folder / names.MANIFEST).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
