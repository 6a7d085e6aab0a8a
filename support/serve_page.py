"""`streamlit run streamlit_app.py` with poster services on this machine.

Usage: `python -m support.serve_page PORT_OF_SERVICES OPTIONS_OF_STREAMLIT…`
"""

import sys
from functools import cache

from streamlit.web.cli import main

from poster2plot.page import cached_resources
from support.poster_server import PosterServer

if __name__ == "__main__":
    posters = PosterServer(port=int(sys.argv[1]))
    cached_resources.finder = posters.finder
    cached_resources.services = cache(posters.services)
    main(["run", "streamlit_app.py", *sys.argv[2:]])
