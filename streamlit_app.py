"""The page and the HTTP API in one process: `streamlit run streamlit_app.py`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from poster2plot import Poster2PlotError, page
from poster2plot.page import cached_resources, served_attention, served_cards, served_matches
from poster2plot.page.first_load import FirstLoad
from poster2plot.page.upload_answers import keep_upload_answers
from poster2plot.page.upload_quota import UploadQuota, keep_uploads_off_the_disk
from poster2plot.server import http_api
from poster2plot.server.private_logs import keep_visitors_out
from poster2plot.server.request_log import log_to_stderr
from poster2plot.server.shutdown import drain_on_signals
from poster2plot.server.undelayed import send_at_once


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Load the model at once, so that the first visitor need not wait for it."""
    send_at_once()
    drain_on_signals(cached_resources.close)
    loading = asyncio.create_task(asyncio.to_thread(cached_resources.load_ahead))
    yield {}
    await loading


log_to_stderr()
keep_visitors_out()
keep_upload_answers()
keep_uploads_off_the_disk()
base_path = st.get_option("server.baseUrlPath").strip("/")
root_path = f"/{base_path}" if base_path else ""
try:
    routes = http_api.routes(
        cached_resources.desk,
        cached_resources.finder,
        root_path=root_path,
        is_closing=cached_resources.is_closing,
    )
    cached_resources.finder()  # says which settings of the poster services cannot be right
except Poster2PlotError as error:
    sys.exit(f"error: {error}")
app = st.App(
    Path(page.__file__).with_name("main.py"),
    routes=[
        *routes,
        *served_cards.routes(root_path),
        *served_attention.routes(root_path),
        *served_matches.routes(root_path),
    ],
    middleware=[Middleware(FirstLoad, root_path=root_path), Middleware(UploadQuota)],
    lifespan=lifespan,
)
