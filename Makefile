# `make` lists the targets. Nothing here needs more than Go, git and make,
# unless its line says so.

# For `make demo`: how long it runs, as in 15s; without it, until Ctrl-C.
FOR ?=
# For `make test`: packages, a regexp of test names, and on, off or auto.
PKG  ?= ./...
RUN  ?=
RACE ?= auto
# For `make fuzz-short`: how long each target runs.
FUZZTIME ?= 10s
# For `make images`: what to stamp them with (default: what git describes), and what they run on.
export VERSION ARCH
# For `make bench`: its flags, as in BENCH='-run single'.
BENCH ?=

# The Go release installed is the one that builds; no other is fetched.
export GOTOOLCHAIN := local
export FUZZTIME

# Every module of the tree, the root one first.
MODULES := . $(patsubst %/go.mod,%,$(wildcard bench/go.mod examples/go.mod examples/*/go.mod test/go.mod test/alerts/go.mod tools/go.mod))
# A narrower PKG is one of the root module.
TESTED := $(if $(filter ./...,$(PKG)),$(MODULES),.)

# A time-out here ends what hangs, and judges nothing else.
GOTEST = go run -C tools ./gotest -skips ../.ci/skips $(foreach m,$(1),-C ../$(m))
TESTFLAGS = -count=1 -shuffle=on -timeout=20m $(if $(RUN),-run='$(RUN)')

# Tests that run once more without the race detector, wherever they are: it
# allocates too, and a million entries or calls take it minutes.
PLAIN = Allocations|Soak|Mesh
# Packages with tests that need root: the others need not be built for these.
ROOTED = grep -lr --include='*_test.go' '^//go:build .*root' cmd internal pkg test | xargs -n 1 dirname | sort -u | sed 's,^,./,'

# What tests with an API server start: found, fetched or built, where it is asked for.
KUBE = if go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' $(PKG) | grep -q internal/envtestkit; then \
	KUBEBUILDER_ASSETS=$$(tools/envtest-assets) && export KUBEBUILDER_ASSETS || exit 1; fi;

.DEFAULT_GOAL := help
.PHONY: help demo test test-root race fuzz-short bench bench-feed bench-feed-cluster bench-once bench-check lint fmt vet generate check-generated vuln build images load clean chart-test chart-snapshots e2e

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ See it run
demo: ## three nodes on this machine calling each other; FOR=15s ends by itself
	@go run ./internal/demo $(if $(FOR),-for $(FOR))

##@ Is it right?
test: ## all tests that need no root; RUN=TestName PKG=./pkg/grid narrow it, RACE=on insists
	@$(KUBE) $(call GOTEST,$(TESTED)) -race $(RACE) -- $(TESTFLAGS) $(PKG)
	@$(if $(RUN),,$(call GOTEST,.) -- -count=1 -run='$(PLAIN)' $$(grep -lrE --include='*_test.go' '^func Test[A-Za-z]*($(PLAIN))' pkg internal test | xargs -n 1 dirname | sort -u | sed 's,^,./,'))
race: ## the same, and fail where the race detector does not work (it needs a C compiler)
	@$(MAKE) --no-print-directory test RACE=on
test-root: ## what needs root and Linux: network namespaces, small disks
	@[ "$$(id -u)" = 0 ] || { echo "make test-root needs root: it cuts networks of its own making (try sudo)" >&2; exit 1; }
	@$(call GOTEST,.) -- -count=1 -timeout=20m -p=1 -tags=root -run='$(or $(RUN),^TestRoot)' $(if $(filter ./...,$(PKG)),$$($(ROOTED)),$(PKG))
chart-test: ## the Helm chart: lint, unit tests, snapshots, and a real API server's opinion, with Helm 3 and 4
	@tools/chart-test
e2e: ## the operator, the chart and the nodes on a real Kubernetes: that of KUBECONFIG, or one of its own (root, Linux); RUN='TestE2E/together/adopted'
	@tools/e2e test $(if $(RUN),-run='$(RUN)')
fuzz-short: ## each fuzz target for FUZZTIME=10s
	@tools/fuzz
check-generated: ## is generated code what its sources say?
	@tools/check-generated
lint: ## golangci-lint, built from tools/go.mod once
	@linter=$$(tools/tool golangci-lint) || exit 1; status=0; for module in $(MODULES); do \
		(cd $$module && "$$linter" run --config "$(CURDIR)/.golangci.yml" ./...) || status=1; done; exit $$status
vet: ## gofmt and go vet; the library also for 32 bits, macOS and Windows
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "not formatted (make fmt):"; echo "$$bad"; exit 1; }
	@for module in $(MODULES); do go vet -C $$module -tags=root,chart,e2e,bench ./... || exit 1; done
	@for port in linux/386 darwin/arm64 windows/amd64; do \
		CGO_ENABLED=0 GOOS=$${port%/*} GOARCH=$${port#*/} go vet ./pkg/... || { echo "on $$port" >&2; exit 1; }; done
vuln: ## known vulnerabilities in what is linked in (asks the Go vulnerability database)
	@tools/vuln .

##@ Is it fast?
bench: ## side by side with the floors and grpc-go; BENCH='-run single' narrows it
	@go run -C bench . $(BENCH)
bench-feed: ## how fast 1,000 nodes have a new peer list, and the operator's memory (Linux); BENCH='-nodes 100' and the like
	@KUBEBUILDER_ASSETS=$$(tools/envtest-assets) go run ./internal/feedbench $(BENCH)
bench-feed-cluster: ## the same for three nodes on the Kubernetes of make e2e, aim included (root, Linux)
	@tools/e2e bench
bench-check: ## make bench, against the ratios in bench/aims.yaml; fails below one that gates
	@go run -C bench . -check aims.yaml $(BENCH)
bench-once: ## each Benchmark function once: does it still run?
	@$(call GOTEST,$(MODULES)) -- -run='^$$' -bench=. -benchtime=1x -timeout=20m ./...

##@ Change it
fmt: ## gofmt all
	@gofmt -l -w .
generate: ## write generated code anew
	@for module in $(MODULES); do (cd $$module && go generate ./...) || exit 1; done
chart-snapshots: ## write the chart's snapshots anew; look at what has changed
	@$$(tools/tool charts/helm-unittest) --strict -u charts/gridmesh
build: ## the programs, into bin/
	@go build -o bin/ ./cmd/...
images: ## their container images, into bin/images/, without a container engine; VERSION=v0.1.0 ARCH=arm64
	@tools/images
load: ## images of the version that the chart installs, brought to kubectl's cluster: kind, k3d, minikube, Docker's, or LOAD='how to'
	@tools/load
clean: ## remove what make built
	@rm -rf bin
