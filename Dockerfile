# The image: the program joined into few files, the code that V8 makes of them, PGlite, and nothing that can build.
# Neither image is pinned here, because a digest belongs to the day of a release: a release passes
# both with @sha256:…, and scripts/release-check refuses to go on without them.
ARG BUILD_IMAGE=node:26-trixie-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs26-debian13:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json tsconfig.json ./
RUN ["npm", "ci", "--no-audit", "--no-fund"]
COPY scripts ./scripts
COPY src ./src
RUN ["npm", "run", "build"]

FROM ${BUILD_IMAGE} AS deps
WORKDIR /app
COPY package.json package-lock.json ./
RUN ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
COPY scripts/prune-modules.mjs ./scripts/
# dist/ holds the code of the packages. What stays of each is its description and its licence, by which
# scanners find it; PGlite stays as a program, without what only others ask for.
RUN ["node", "scripts/prune-modules.mjs", "node_modules"]

# Kept code is of use only to the Node that made it, so the runtime image itself makes it.
FROM ${RUNTIME_IMAGE} AS warm
WORKDIR /app
COPY --from=build /app/dist ./dist
COPY package.json ./
# To write into a folder of root's.
USER 0:0
RUN ["/nodejs/bin/node", "/app/dist/warm.js"]

FROM ${RUNTIME_IMAGE}
# Global arguments must be named again in the stage that uses them.
ARG VERSION=unreleased
ARG REVISION=unknown
ARG SOURCE=unknown
ARG BASE_NAME=gcr.io/distroless/nodejs26-debian13:nonroot
ARG BASE_DIGEST=
LABEL org.opencontainers.image.title="Tollgate" \
      org.opencontainers.image.description="Sidecar auth reverse proxy for ci_ API tokens" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
WORKDIR /app
# Owned by root: the user below can write none of it.
COPY --from=deps --chown=0:0 /app/node_modules ./node_modules
COPY --from=warm --chown=0:0 /app/dist ./dist
COPY --chown=0:0 config/routes.yaml ./config/routes.yaml
COPY --chown=0:0 package.json ./
ENV NODE_ENV=production HOST=0.0.0.0
# Numbers, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
# Without the first flag, SIGUSR1 would open the debugger. With the second, the nursery does not begin at
# 1 MiB and copy what survives a start each time it grows: a twelfth of a start, for 10 MiB that any load takes.
ENTRYPOINT ["/nodejs/bin/node", "--disable-sigusr1", "--min-semi-space-size=8", "/app/dist/cli.js"]
CMD ["serve"]
