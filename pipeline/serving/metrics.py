"""What Prometheus is told. No label holds anything that a client sends, so their number stays small."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One service's counters, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        of = {"registry": self.registry}
        self.requests = Counter("emotion_requests_total", "Answered requests", ["route", "status"], **of)
        self.seconds = Histogram("emotion_request_seconds", "Time to an answer", ["route"], buckets=SECONDS, **of)
        self.faces = Counter("emotion_faces_total", "Faces read", **of)
        self.refused = Counter("emotion_pictures_refused_total", "Pictures that could not be read", ["reason"], **of)
        self.batch = Histogram("emotion_batch_faces", "Faces per run of the model", buckets=(1, 2, 4, 8, 16, 32), **of)
        self.waiting = Gauge("emotion_pictures_waiting", "Pictures waiting or in work", **of)
        self.held = Gauge("emotion_upload_bytes_held", "Bytes of uploads in memory", **of)
        self.version = Gauge("emotion_model_version", "Version of the model in service, 0 without one", **of)
        self.swaps = Counter("emotion_model_loads_total", "Times a model was loaded", ["outcome"], **of)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
