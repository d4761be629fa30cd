# The libraries are installed aside, so that neither pip's cache nor anything to build with is left.
FROM python:3.12-slim AS libraries
WORKDIR /src
COPY pyproject.toml setup.cfg README.md ./
COPY guarded/__init__.py guarded/
COPY server/__init__.py server/
RUN pip install --no-cache-dir --no-warn-script-location --prefix=/install '.[server]' \
    && rm -rf /install/lib/python*/site-packages/guarded \
              /install/lib/python*/site-packages/server \
              /install/lib/python*/site-packages/meeting_server-* \
              /install/bin/server-migrate

FROM python:3.12-slim
COPY --from=libraries /install /usr/local
COPY guarded /app/guarded
COPY server /app/server
RUN python -m compileall -q /app && mkdir -m 700 /data
ENV PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    DB_PATH=/data/meetings.sqlite
# Whoever owns the data directory on the host: both sides then write the same files.
ARG UID=1000
ARG GID=1000
RUN chown "${UID}:${GID}" /data
USER ${UID}:${GID}
WORKDIR /app/server
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/healthz', timeout=2)"]
CMD ["python", "-m", "server"]
