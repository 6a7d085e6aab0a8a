"""The page and the HTTP API in one process: `streamlit run streamlit_app.py`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import streamlit as st

from page import shared
from poster2plot import Poster2PlotError, api


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Load the model at once, so that the first visitor need not wait for it."""

    def load() -> None:
        with suppress(Poster2PlotError):  # page and API try again and say what is wrong
            shared.model()

    loading = asyncio.create_task(asyncio.to_thread(load))
    yield {}
    await loading


app = st.App("page/main.py", routes=api.routes(shared.model, shared.finder), lifespan=lifespan)
