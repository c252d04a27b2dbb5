FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
# Packages that have to be built here, by name: --build-arg NATIVE_PACKAGES="better-sqlite3 canvas". The install scripts
# of all others do not run. NATIVE_TOOLS: what of Debian they are built with.
ARG NATIVE_PACKAGES=""
ARG NATIVE_TOOLS="python3 make g++"
RUN if [ -n "$NATIVE_PACKAGES" ]; then \
    apt-get update && apt-get install -y --no-install-recommends $NATIVE_TOOLS \
    && npm_config_nodedir=/usr/local npm rebuild --foreground-scripts $NATIVE_PACKAGES; \
  fi
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
# a clone compiles when it starts; the image is compiled. Nor has it the demo login, whatever NODE_ENV it is run with
RUN npm run build && npm pkg delete dependencies.typescript optionalDependencies.oidc-provider \
  && npm prune --omit=dev --ignore-scripts

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=5050 DATA_DIR=/data
# of group root: where the platform chooses the user, that is its group
RUN install -d -o node -g root -m 0770 /data
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
USER node
VOLUME /data
EXPOSE 5050
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# options of `fastify-mcp-oauth serve` may follow: --module server.js, --stdio 'npx some-server', --url http://other:8000/mcp
ENTRYPOINT ["node", "dist/cli.js", "serve"]
