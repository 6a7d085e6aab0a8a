"""The page and the HTTP API in one process: `streamlit run streamlit_app.py`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from page import shared
from page.uploads import UploadQuota
from poster2plot import Poster2PlotError, api, frontdesk


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Load the model at once, so that the first visitor need not wait for it."""

    def load() -> None:
        with suppress(Poster2PlotError):  # page and API try again and say what is wrong
            shared.desk()

    loading = asyncio.create_task(asyncio.to_thread(load))
    yield {}
    await loading


frontdesk.log_to_stderr()
app = st.App(
    "page/main.py",
    routes=api.routes(shared.desk, shared.finder),
    middleware=[Middleware(UploadQuota)],
    lifespan=lifespan,
)
