# LLMProxy as an image: docs/operations/containers.md says how to build it, run it, and what was tried.
#
#   docker build -t llmproxy-gateway .
#   docker build -t llmproxy-gateway --build-arg EXTRAS="postgres bedrock" .

# The official images compile Python with --enable-optimizations and --with-lto (profile-guided and
# link-time optimization). For builds that repeat bit by bit, name a digest: python@sha256:...
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
# Names of the extras in pyproject.toml, separated by spaces; prices and tracing need no packages.
ARG EXTRAS="embedded jwt postgres"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements ./requirements
# Only what the locks name, by its hash, and only wheels: nothing is compiled here.
RUN set -eu; \
    set --; \
    for extra in ${EXTRAS}; do \
        case "${extra}" in prices | tracing) continue ;; esac; \
        set -- "$@" --requirement "requirements/extras/${extra}.txt"; \
    done; \
    python -m venv --without-pip /opt/llmproxy; \
    pip --python /opt/llmproxy/bin/python install --no-deps --only-binary :all: --require-hashes --no-compile \
        --requirement requirements/run.txt "$@"; \
    pip install --no-deps --only-binary :all: --require-hashes --requirement requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY llmproxy ./llmproxy
# Bytecode is written here, since the image runs on a read-only root; checked by hash, it is the same in each build.
RUN set -eu; \
    pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheel .; \
    pip --python /opt/llmproxy/bin/python install --no-deps --no-index --no-compile /wheel/*.whl; \
    /opt/llmproxy/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/llmproxy/lib; \
    install -d -m 0750 /state

# Nothing is run in this stage, so that BASE may also be an image without a shell.
FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LLMProxy" \
      org.opencontainers.image.description="One address in front of OpenAI, Azure OpenAI, Anthropic and compatible endpoints" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/llmproxy/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    LLMPROXY_CONFIG=/etc/llmproxy/llmproxy.yaml \
    STATE_DIRECTORY=/var/lib/llmproxy
COPY --from=build /opt/llmproxy /opt/llmproxy
COPY --from=build --chown=65532:65532 /state /var/lib/llmproxy
WORKDIR /var/lib/llmproxy
VOLUME ["/var/lib/llmproxy"]
# A number, so that Kubernetes sees that it is not root; 65532 is the `nonroot` of other images.
USER 65532:65532
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["python", "-m", "llmproxy.tools.ready"]
ENTRYPOINT ["llmproxy"]
CMD ["serve", "--host", "0.0.0.0"]
