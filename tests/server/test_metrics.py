"""What Prometheus is told; dashboards rely on the names."""

from poster2plot.server.metrics import Metrics


def test_names_labels_and_values():
    waiting = 3
    metrics = Metrics(lambda: waiting)
    metrics.count("api", "written")
    metrics.observe({"read": 0.25, "decode": 2.0})
    told = metrics.text().decode()
    assert 'poster2plot_posters_total{face="api",outcome="written"} 1.0' in told
    assert 'poster2plot_stage_seconds_count{stage="decode"} 1.0' in told
    assert 'poster2plot_stage_seconds_sum{stage="read"} 0.25' in told
    assert "poster2plot_waiting 3.0" in told
    waiting = 0
    assert "poster2plot_waiting 0.0" in metrics.text().decode()


def test_each_has_its_own():
    first, second = Metrics(int), Metrics(int)
    first.count("page", "failed")
    assert "failed" not in second.text().decode()
