# The agent and the command line of Sluice. Build it with "docker build -t sluice .", with podman or with buildah;
# "make image" builds it where no registry can be asked.
ARG BASE=docker.io/library/node:24-bookworm-slim

# Compiles the programs and the bundle.
FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends clang libbpf-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund && rm -rf /root/.npm
COPY . .
RUN touch node_modules && make bin/sluice && tools/image/install.sh /out/opt/sluice

# Gathers the programs that the agent starts, with their libraries: no compiler, no npm, no shell.
FROM ${BASE} AS system
RUN apt-get update \
 && apt-get install -y --no-install-recommends bpftool ca-certificates iproute2 ipset iptables libbpf1 nftables \
 && rm -rf /var/lib/apt/lists/*
COPY tools/image/collect.sh tools/image/programs /tmp/
RUN /tmp/collect.sh /tmp/programs /out

FROM scratch
COPY --from=system /out /
COPY --from=build /out /
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="sluice" \
      org.opencontainers.image.description="Services of a Kubernetes node in eBPF, in place of kube-proxy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/usr/sbin:/usr/bin NODE_ENV=production
# Capabilities reach a process only as root: a Pod cannot ask for ambient ones.
USER 0:0
WORKDIR /
ENTRYPOINT ["/usr/bin/node", "--enable-source-maps", "/opt/sluice/sluice.cjs"]
CMD ["agent"]
