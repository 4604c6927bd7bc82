# Every command a contributor or CI needs. Tools are pinned in tools/ and built into .bin.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := $(CURDIR)/.bin
export PATH := $(BIN):$(PATH)
# Imports of the protos come from this module's third_party folder; no schema registry is needed.
KRATOS := github.com/go-kratos/kratos/v2@v2.9.1
GENERATED := api clients/typescript/src/schema.ts internal/clients/catalog/video internal/infrastructure/config/confpb internal/repositories/profiledb internal/repositories/mocks '*wire_gen.go'
GOTEST := go test -race -shuffle=on -count=1
DBTESTS := ./internal/services/test/ ./internal/repositories/ ./internal/controllers/test/
TASKTESTS := ./internal/tasks/outbox/ ./internal/tasks/catalog_inbox/

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

# The compiler bounds a cold `make run`. Without optimisation and debug information it takes a third less time,
# and nobody measures the development stack. DEVFLAGS= builds what is shipped.
DEVFLAGS ?= -gcflags='all=-N -l -dwarf=false' -ldflags='-s -w'

.PHONY: run
run: ## Start Postgres, broker, migrations, seed data, API, publisher, inbox and maintenance (EPHEMERAL=1 forgets the data)
	@mkdir -p $(BIN) && go build $(DEVFLAGS) -o $(BIN)/profilectl ./cmd/profilectl
	@exec $(BIN)/profilectl dev $(if $(EPHEMERAL),--ephemeral)

.PHONY: test
test: ## Run every test with the race detector, shuffled
	$(GOTEST) -timeout 20m ./...
	cd test/bench && $(GOTEST) ./...

.PHONY: race
race: test ## The same as test: the race detector is always on

.PHONY: lint
lint: golangci buf-lint openapi-lint ts-check sql-lint rules tidy-check ## Run every linter

.PHONY: golangci
golangci: $(BIN)/golangci-lint
	golangci-lint run ./...
	golangci-lint fmt --diff ./...
	cd test/bench && golangci-lint run ./... && golangci-lint fmt --diff ./...

.PHONY: buf-lint
buf-lint: $(BIN)/buf third_party
	buf lint
	for dir in api configs internal/clients/catalog; do buf format -d --exit-code $$dir; done
	scripts/buf_breaking.sh

SPECTRAL := tools/openapi/node_modules/.bin/spectral
$(SPECTRAL): tools/openapi/package.json tools/openapi/package-lock.json
	cd tools/openapi && npm ci && touch ../../$@

# The viewer of the API page is what the lock file says, byte for byte.
VIEWER := internal/controllers/docs/viewer
.PHONY: openapi-lint
openapi-lint: $(SPECTRAL) ## Lint the OpenAPI document (.spectral.yaml), and compare the viewer of /docs with the pinned package
	$(SPECTRAL) lint --fail-severity warn api/openapi/profile.v1.yaml
	@for file in $(VIEWER)/*; do cmp $$file tools/openapi/node_modules/swagger-ui-dist/$${file##*/}; done

TYPESCRIPT := clients/typescript
TSC := $(TYPESCRIPT)/node_modules/.bin/tsc
$(TSC): $(TYPESCRIPT)/package.json $(TYPESCRIPT)/package-lock.json
	cd $(TYPESCRIPT) && npm ci && touch ../../$@

.PHONY: ts-check
ts-check: ts-build ## Check the types of the TypeScript client and run its tests that need no service
	node --test $(TYPESCRIPT)/dist/test/client.test.js

.PHONY: ts-build
ts-build: $(TSC)
	rm -rf $(TYPESCRIPT)/dist
	$(TSC) -p $(TYPESCRIPT)

.PHONY: tidy-check
tidy-check: ## Fail when the go.mod or go.sum of a module is not what its imports need
	@for mod in $$(git ls-files '*go.mod'); do (cd $$(dirname $$mod) && go mod tidy -diff) || { echo "run go mod tidy in $$(dirname $$mod)"; exit 1; }; done

.PHONY: sql-lint
sql-lint: $(BIN)/sqlc
	sqlc vet
	sqlc diff

.PHONY: rules
rules: ## List every rule in scope with its test, and check the states of profile_refactor_plan.md against the repository
	go run ./test/rules

.PHONY: generate
generate: tools third_party $(TSC) ## Regenerate protobuf, OpenAPI, the TypeScript client's schema, SQL, wire and mocks
	buf generate
	buf generate --template buf.gen.openapi.yaml
	go run ./api/openapi/gen $(BIN)/openapi/openapi.yaml api/openapi/profile.v1.yaml
	cd $(TYPESCRIPT) && npm run --silent generate
	sqlc generate
	wire ./cmd/grpc ./cmd/tasks/outbox ./cmd/tasks/catalog_inbox ./cmd/tasks/maintenance ./internal/infrastructure/devstack
	go generate ./internal/repositories
	gofumpt -w internal/repositories/mocks

.PHONY: generate-check
generate-check: generate ## Fail when committed generated code is not what the sources give
	@if [ -n "$$(git status --porcelain -- $(GENERATED))" ]; then git status --porcelain -- $(GENERATED); git diff -- $(GENERATED) | head -100; echo 'run make generate and commit'; exit 1; fi

.PHONY: fuzz
FUZZTIME ?= 20s
fuzz: ## Fuzz every decoder (FUZZTIME=20s each)
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: cover
cover: ## Coverage of internal/services by its own tests and those of its callers, at least 90 %
	go test -count=1 -coverpkg=./internal/services/... -coverprofile=coverage.out ./internal/services/... ./internal/tasks/... ./cmd/profilectl/
	scripts/cover_gate.sh coverage.out 90

.PHONY: matrix
matrix: ## Database suites: both query modes, through pgbouncer, with row level security, and with everything switched off that shares
	PROFILE_TEST_QUERY_MODE=cache_statement go test -count=1 -timeout 20m $(DBTESTS)
	PROFILE_TEST_QUERY_MODE=exec go test -count=1 -timeout 20m $(DBTESTS)
	PROFILE_TEST_QUERY_MODE=exec PROFILE_TEST_POOLER=pgbouncer go test -count=1 -timeout 20m $(DBTESTS)
	PROFILE_TEST_QUERY_MODE=cache_statement PROFILE_TEST_RLS=on go test -count=1 -timeout 20m $(DBTESTS)
	PROFILE_TEST_QUERY_MODE=exec PROFILE_TEST_POOLER=pgbouncer PROFILE_TEST_RLS=on go test -count=1 -timeout 20m $(DBTESTS) $(TASKTESTS)
	PROFILE_TEST_SWITCHES=off go test -count=1 -timeout 20m $(DBTESTS)

.PHONY: authz
authz: ## Who may call what: every method over gRPC and every route, as every identity
	go test -count=1 -v -run 'TestS2_|TestS3_' ./internal/controllers/test/ | grep -E '^(---|===.*FAIL|FAIL|ok|    policy_test)'

.PHONY: emulator
emulator: ## The suites of publisher and inbox on Google's emulator (PUBSUB_EMULATOR_HOST=host:port)
	@test -n "$(PUBSUB_EMULATOR_HOST)" || { echo 'start one: gcloud beta emulators pubsub start; then set PUBSUB_EMULATOR_HOST'; exit 1; }
	go test -count=1 -timeout 20m $(TASKTESTS)

# BENCH adds flags: make bench BENCH="-turns 3 -env K=V"; .bin/speed bench -h lists them.
.PHONY: $(BIN)/speed
$(BIN)/speed:
	@mkdir -p $(BIN) && cd test/bench && go build -o $@ ./speed

.PHONY: bench
bench: $(BIN)/speed ## Compare the service with pgbench and bare gRPC, into docs/benchmarks/speed.md (half an hour)
	@exec $(BIN)/speed bench -out docs/benchmarks $(BENCH)

.PHONY: bench-smoke
bench-smoke: $(BIN)/speed ## The same in a minute on little data: prints ratios, judges nothing, writes nothing
	@exec $(BIN)/speed bench -quick -users 2000 -videos 200 -turns 1 -turn 1s -warmup 300ms -callers 32 -clients 8 $(BENCH)

.PHONY: bench-scale
bench-scale: $(BIN)/speed ## The same with 1 M users, 20 M likes and 20 M watch rows, kept between runs, into docs/benchmarks/speed-scale.md
	@exec $(BIN)/speed scale -out docs/benchmarks -small docs/benchmarks/speed.json $(BENCH)

.PHONY: bench-overload
bench-overload: $(BIN)/speed ## Cold start, three times the peak, database restarted and stopped, into docs/benchmarks/speed-overload.md
	@exec $(BIN)/speed overload -out docs/benchmarks $(BENCH)

.PHONY: bench-abuse
bench-abuse: $(BIN)/speed ## Slow connections, huge bodies, rapid resets, a greedy user: what the others notice, into docs/benchmarks/speed-abuse.md
	@exec $(BIN)/speed abuse -out docs/benchmarks $(BENCH)

# The figures of another machine differ; allocations do not.
MICRO := ./internal/controllers/dto ./internal/models/po ./internal/services/pagetoken ./internal/services/test ./internal/infrastructure/cache
.PHONY: bench-micro
bench-micro: $(BIN)/grpcurl ## Decoding, merging, booking, tokens and cache against docs/benchmarks/micro.txt (BASELINE=1 writes that anew)
	go test -run '^$$' -bench '^Benchmark(Decode|Merge|Ledger|Token|MemoryGet50)$$' -benchmem -benchtime 200ms -count 6 $(MICRO) > $(BIN)/micro.txt || { cat $(BIN)/micro.txt; exit 1; }
	$(if $(BASELINE),grep -v '^ok' $(BIN)/micro.txt > docs/benchmarks/micro.txt,benchstat -ignore cpu docs/benchmarks/micro.txt $(BIN)/micro.txt)

.PHONY: chaos
ROUNDS ?= 3
chaos: ## Break the event chain and prove that nothing is lost (ROUNDS=3 SEED=0 FAULT=name; REPORT=1: all rounds, into REPORT.md)
	go run ./test/chaos -rounds $(ROUNDS) -seed $(or $(SEED),0) $(if $(FAULT),-fault $(FAULT)) $(if $(REPORT),-full -report)

.PHONY: chaos-mutants
chaos-mutants: ## Prove that the chaos suite notices defects (FAULT=name of a mutation)
	go run ./test/chaos -mutants -seed $(or $(SEED),0) $(if $(FAULT),-fault $(FAULT))

.PHONY: bench-events
BENCH_EVENTS ?= -rounds 5 -held 3m
bench-events: ## Compare the publisher with the Pub/Sub client alone, a textbook poller and River (about 15 minutes)
	cd test/bench && go run ./events $(BENCH_EVENTS)

.PHONY: e2e
e2e: $(BIN)/grpcurl $(SPECTRAL) ts-build ## Start the stack and run the end-to-end scripts against it; SCREENSHOTS=folder keeps pictures of /docs
	test/e2e/run.sh

.PHONY: check
check: ## Everything CI checks, in its order (.ci/run)
	$(MAKE) generate-check
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) cover
	$(MAKE) matrix
	$(MAKE) fuzz FUZZTIME=1000x
	$(MAKE) e2e
	$(MAKE) bench-smoke
	$(MAKE) chaos ROUNDS=3

.PHONY: tools
tools: $(BIN)/buf $(BIN)/sqlc $(BIN)/golangci-lint $(BIN)/grpcurl ## Build the pinned tools into .bin

# go.mod pins the versions, so a tool is rebuilt exactly when its go.mod changes.
$(BIN)/grpcurl: tools/go.mod
	@mkdir -p $(BIN) && cd tools && GOBIN=$(BIN) go install tool && touch $@
$(BIN)/buf $(BIN)/sqlc $(BIN)/golangci-lint: $(BIN)/%: tools/%/go.mod
	@mkdir -p $(BIN) && cd tools/$* && GOBIN=$(BIN) go install tool && touch $@

third_party: go.mod
	@dir=$$(cd tools && go mod download -json $(KRATOS) | sed -n 's/^\t"Dir": "\(.*\)",/\1/p') && mkdir -p $@/google && cp -r $$dir/third_party/buf $@/ && cp -r $$dir/third_party/google/api $@/google/ && chmod -R u+w $@ && touch $@
