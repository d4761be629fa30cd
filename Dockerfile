# The base, in this one place: the digest of the tag's index, for every architecture.  To raise it:
# docker buildx imagetools inspect python:3.12-slim
ARG BASE=python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea
# postgresql adds the programs for its backups, which have to be as new as the database server.
ARG DATABASE=sqlite

# The libraries are installed aside, so that neither pip's cache nor anything to build with is left.
FROM ${BASE} AS libraries
COPY server.lock /
RUN pip install --no-cache-dir --no-warn-script-location --require-hashes --no-deps \
    --target=/libraries -r /server.lock

FROM ${BASE} AS sqlite

FROM ${BASE} AS postgresql
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*

FROM ${DATABASE}
LABEL org.opencontainers.image.title="meeting-server"
COPY --from=libraries /libraries /app/libraries
COPY guarded /app/guarded
COPY server /app/server
# For a volume of Docker's own; ./data brings its owner along.
RUN python -m compileall -q /app && mkdir -m 700 /data && chown 1000:1000 /data
ENV PYTHONPATH=/app:/app/libraries \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DB_PATH=/data/meetings.sqlite \
    STAY_ON_FAULT=1
USER 1000:1000
WORKDIR /app/server
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/healthz', timeout=2)"]
CMD ["python", "-m", "server"]
