"""`streamlit run streamlit_app.py` with poster services on this machine.

Usage: `python -m support.serve_page PORT_OF_SERVICES OPTIONS_OF_STREAMLIT…`
"""

import sys
from functools import cache, partial

from streamlit.web.cli import main

from poster2plot.imdb.http_client import FetchLimits
from poster2plot.page import cached_resources
from support.poster_server import STALL_SECONDS, PosterServer

if __name__ == "__main__":
    posters = PosterServer(port=int(sys.argv[1]))
    # However slow a browser is, it does not see a look-up that stalls given up.
    patient = FetchLimits(read=STALL_SECONDS, total=STALL_SECONDS)
    services = cache(partial(posters.services, patient))
    cached_resources.finder = partial(posters.finder, services=services(), seconds=STALL_SECONDS)
    cached_resources.services = services
    main(["run", "streamlit_app.py", *sys.argv[2:]])
