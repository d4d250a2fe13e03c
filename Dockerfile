# For those who have a container engine; `make images` needs none and makes the
# same images.
#
#   docker build --target node     -t gridmesh/node:v0.1.0     --build-arg VERSION=v0.1.0 .
#   docker build --target operator -t gridmesh/operator:v0.1.0 --build-arg VERSION=v0.1.0 .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG VERSION=dev TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN module=github.com/gridmesh/gridmesh && \
    CGO_ENABLED=0 GOOS=linux GOARCH=$TARGETARCH go build -trimpath -o /out/ \
    -ldflags "-s -w -X $module/internal/node.version=$VERSION -X $module/internal/operator.version=$VERSION" ./cmd/...

FROM gcr.io/distroless/static:nonroot AS node
COPY --from=build /out/node /node
USER 65532:65532
ENTRYPOINT ["/node"]

FROM gcr.io/distroless/static:nonroot AS operator
COPY --from=build /out/operator /operator
USER 65532:65532
ENTRYPOINT ["/operator"]
