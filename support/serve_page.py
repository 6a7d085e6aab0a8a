"""`streamlit run streamlit_app.py` with poster services on this machine.

Usage: `python -m support.serve_page PORT_OF_SERVICES OPTIONS_OF_STREAMLIT…`
"""

import sys
from functools import cache, partial

from streamlit.web.cli import main

from poster2plot.imdb.http_client import FetchLimits
from poster2plot.page import cached_resources
from support.poster_server import PosterServer

# However slow a browser is, a look-up that stalls outlasts what is tried meanwhile.
_SECONDS = 120

if __name__ == "__main__":
    posters = PosterServer(port=int(sys.argv[1]))
    services = cache(partial(posters.services, FetchLimits(read=_SECONDS, total=_SECONDS)))
    cached_resources.finder = partial(posters.finder, services=services(), seconds=_SECONDS)
    cached_resources.services = services
    main(["run", "streamlit_app.py", *sys.argv[2:]])
