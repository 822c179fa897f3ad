# Images of AgentSight Cluster. `make images` makes the wheels and builds all targets:
#   agent       probes, spool, publisher; no compiler, no aggregator
#   aggregator  worker, exporters, API
#   cli         the `agentsight` command
#   nats, etcd  the servers of a cluster, for sites that cannot pull others
# BASE_IMAGE: a Debian with Python 3.11 or newer, the version that made the wheels. By digest where a
# registry is there: --build-arg BASE_IMAGE=python@sha256:…
# No feature of BuildKit is used; every stage before the wanted one is small.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS wheels
COPY dist/wheels /wheels
# A pip outside of the environments that it fills: they have none.
RUN python3 -m venv /pip

FROM wheels AS agent-files
RUN python3 -m venv --without-pip /opt/agentsight \
 && /pip/bin/pip --python /opt/agentsight/bin/python install --no-cache-dir --no-index \
        --find-links /wheels "agentsight-cluster[agent]" \
 && rm -r /opt/agentsight/lib/python3*/site-packages/agentsight_aggregator \
        /opt/agentsight/lib/python3*/site-packages/agentsight_cli \
        /opt/agentsight/lib/python3*/site-packages/agentsight_core/testing \
        /opt/agentsight/bin/agentsight

FROM ${BASE_IMAGE} AS agent
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agentsight-agent" \
      org.opencontainers.image.description="Watches AI agents on one node with eBPF" \
      org.opencontainers.image.licenses="Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# libbpf is in the base of an air-gapped site.
RUN ldconfig -p | grep -q 'libbpf\.so\.1' || { apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libbpf1 \
 && rm -rf /var/lib/apt/lists/*; }
COPY --from=agent-files /opt/agentsight /opt/agentsight
ENV PATH=/opt/agentsight/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    AGENTSIGHT_NODE_STATE_DIR=/var/lib/agentsight AGENTSIGHT_NODE_TELEMETRY_HOST=0.0.0.0
VOLUME /var/lib/agentsight
EXPOSE 9465
# Root with few capabilities: docs/install-compose.md says which and why.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s \
    CMD ["python", "-m", "agentsight_core.runtime.health", "agent"]
ENTRYPOINT ["python", "-m", "agentsight_agent"]

FROM wheels AS aggregator-files
RUN python3 -m venv --without-pip /opt/agentsight \
 && /pip/bin/pip --python /opt/agentsight/bin/python install --no-cache-dir --no-index \
        --find-links /wheels "agentsight-cluster[aggregator]" \
 && rm -r /opt/agentsight/lib/python3*/site-packages/agentsight_agent \
        /opt/agentsight/lib/python3*/site-packages/agentsight_cli \
        /opt/agentsight/lib/python3*/site-packages/agentsight_core/testing \
        /opt/agentsight/bin/agentsight \
 && install -d -m 0700 -o 65532 -g 65532 /state

FROM ${BASE_IMAGE} AS aggregator
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agentsight-aggregator" \
      org.opencontainers.image.description="Turns what agents' nodes saw into findings" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=aggregator-files /opt/agentsight /opt/agentsight
COPY --from=aggregator-files --chown=65532:65532 /state /var/lib/agentsight
ENV PATH=/opt/agentsight/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    AGENTSIGHT_NODE_STATE_DIR=/var/lib/agentsight AGENTSIGHT_EXPORTERS_PROMETHEUS_HOST=0.0.0.0
USER 65532:65532
VOLUME /var/lib/agentsight
EXPOSE 9464
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s \
    CMD ["python", "-m", "agentsight_core.runtime.health", "aggregator"]
ENTRYPOINT ["python", "-m", "agentsight_aggregator"]

FROM wheels AS cli-files
RUN python3 -m venv --without-pip /opt/agentsight \
 && /pip/bin/pip --python /opt/agentsight/bin/python install --no-cache-dir --no-index \
        --find-links /wheels "agentsight-cluster[cli]" \
 && mv /opt/agentsight/bin/nats-server /nats-server \
 && rm -r /opt/agentsight/lib/python3*/site-packages/agentsight_core/testing \
 && install -d -m 0700 -o 65532 -g 65532 /state

FROM ${BASE_IMAGE} AS cli
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agentsight-cli" \
      org.opencontainers.image.description="The agentsight command" \
      org.opencontainers.image.licenses="Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=cli-files /opt/agentsight /opt/agentsight
COPY --from=cli-files --chown=65532:65532 /state /var/lib/agentsight
ENV PATH=/opt/agentsight/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["agentsight"]

FROM ${BASE_IMAGE} AS nats
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agentsight-nats" \
      org.opencontainers.image.description="nats-server of the version that AgentSight Cluster is tested with" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=cli-files /nats-server /usr/local/bin/nats-server
COPY --from=cli-files --chown=65532:65532 /state /data
USER 65532:65532
VOLUME /data
EXPOSE 4222 6222 8222
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8222 && printf 'GET /healthz?js-enabled-only=true HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["nats-server"]

FROM ${BASE_IMAGE} AS etcd
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="agentsight-etcd" \
      org.opencontainers.image.description="Debian's etcd" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN command -v etcd >/dev/null || { apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends etcd-server \
 && rm -rf /var/lib/apt/lists/*; }
COPY --from=cli-files --chown=65532:65532 /state /data
USER 65532:65532
VOLUME /data
EXPOSE 2379 2380
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2381 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["etcd"]
