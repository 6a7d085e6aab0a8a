# The page and its model in one image, for a Hugging Face Space or any host: docs/hosting.md.

FROM python:3.11.14-slim-trixie AS packages
# Which build of PyTorch: cpu, cu130, …
ARG TORCH_BACKEND=cpu
RUN pip install --no-cache-dir uv==0.13.9
COPY requirements.txt /
# Compiled now: the user below cannot write there, and would compile at each start.
RUN uv venv /venv \
    && uv pip install --python=/venv --no-cache --compile-bytecode --torch-backend="$TORCH_BACKEND" \
        --requirements=/requirements.txt

FROM python:3.11.14-slim-trixie
# Fonts for titles that are not Latin on the cards to share, and what finds and sets them.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fontconfig fonts-dejavu-core libfribidi0 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid=1000 poster2plot
COPY --from=packages /venv /venv
ENV PATH="/venv/bin:$PATH"
WORKDIR /app
# .dockerignore says what belongs here.
COPY . .
RUN python -m compileall -q poster2plot
USER 1000
EXPOSE 8501
# It asks this container, whatever proxy Docker puts into its environment.
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
    "from os import environ; from urllib.request import ProxyHandler, build_opener; \
    here = 'http://127.0.0.1:' + (environ.get('STREAMLIT_SERVER_PORT') or '8501'); \
    base = environ.get('STREAMLIT_SERVER_BASE_URL_PATH', '').strip('/'); \
    url = '/'.join(filter(None, [here, base, '_stcore/health'])); \
    build_opener(ProxyHandler({})).open(url)"]
CMD ["streamlit", "run", "streamlit_app.py", "--server.headless=true", "--server.address=0.0.0.0"]
