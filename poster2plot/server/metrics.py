"""What a process tells Prometheus: posters by outcome, seconds of each stage, posters that wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import prometheus_client

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST  # of `Metrics.text`


class Metrics:
    """The metrics of one model, in a registry of their own; safe to share between threads.

    - `poster2plot_posters_total`: posters by `face` (page or api) and `outcome`: written, failed,
      cancelled, refused, unusable (a picture, a title or a name that leads to no plot) or
      unreachable (no poster service answered).
    - `poster2plot_stage_seconds`: seconds of each `stage`.
    - `poster2plot_waiting`: posters that wait, which `waiting` is asked for.
    - Memory, processor time and files of the process.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self._outcomes = prometheus_client.Counter(
            "poster2plot_posters", "Posters by outcome", ["face", "outcome"], registry=self.registry
        )
        self._stages = prometheus_client.Histogram(
            "poster2plot_stage_seconds", "Time of each stage", ["stage"], registry=self.registry
        )
        prometheus_client.Gauge(
            "poster2plot_waiting", "Posters that wait", registry=self.registry
        ).set_function(waiting)
        prometheus_client.ProcessCollector(registry=self.registry)

    def count(self, channel: str, outcome: str) -> None:
        """Count a poster that came by `channel`."""
        self._outcomes.labels(channel, outcome).inc()

    def observe(self, stages: Mapping[str, float]) -> None:
        """Add what a poster took: seconds by the name of the stage."""
        for stage, seconds in stages.items():
            self._stages.labels(stage).observe(seconds)

    def text(self) -> bytes:
        """All of them as they are now, in the format of `CONTENT_TYPE`."""
        return prometheus_client.generate_latest(self.registry)
