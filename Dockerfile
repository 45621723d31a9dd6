# syntax=docker/dockerfile:1
# Built in one stage, run in another: neither a compiler nor pip's cache gets into the image that answers questions.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY ragkit ragkit
COPY ingest ingest
COPY api api
COPY eval eval
ARG EXTRAS=anthropic,api,gemini,mcp,openai,otel,postgres,qdrant,vllm
RUN python -m venv /opt/ragkit && /opt/ragkit/bin/pip install --no-cache-dir ".[${EXTRAS}]"

FROM python:3.13-slim
LABEL org.opencontainers.image.title="ragkit" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ragkit /opt/ragkit
RUN useradd --system --uid 10001 --no-create-home ragkit && install -d -o ragkit -g ragkit /data
ENV PATH=/opt/ragkit/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAGKIT_STORE_PATH=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["ragkit"]
CMD ["serve", "--host", "0.0.0.0"]
