# The server in one container, for linux/amd64 and linux/arm64: docker build -t flamehaven-filesearch .
FROM docker.io/library/python:3.12-slim AS build
WORKDIR /src
# wordllama has no wheel for arm64 Linux: there its source distribution is compiled.
# hadolint ignore=DL3008
RUN if [ "$(uname -m)" = aarch64 ]; then apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*; fi
COPY requirements/ requirements/
RUN python -m venv /app/.venv \
 && /app/.venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
      -r requirements/container.txt -r requirements/tracing.txt -r requirements/build.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY shared/ shared/
COPY functions/ functions/
COPY flamehaven/ flamehaven/
COPY file_search_emulator/ file_search_emulator/
RUN /app/.venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
 && /app/.venv/bin/pip uninstall --yes --quiet hatchling pathspec pluggy trove-classifiers pip

FROM docker.io/library/python:3.12-slim
COPY --from=build /app/.venv /app/.venv
RUN mkdir /app/data && chown 1000:1000 /app/data
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/app/data
WORKDIR /app
USER 1000:1000
VOLUME /app/data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health/live\", timeout=4)"]
CMD ["flamehaven-api"]
