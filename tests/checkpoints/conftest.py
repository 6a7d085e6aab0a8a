"""What the tests of this folder share: this process as a client of the stand-in Hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hub_server import Hub


@pytest.fixture
def online(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """This process talks to the `hub` of a module and has an empty cache."""
    from huggingface_hub import close_session, constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.requests.clear()
    hub.ranges.clear()
    yield hub
    hub.gated, hub.failing, hub.failing_after, hub.delay = set(), None, None, 0
    hub.hang_up_after = None
    close_session()
