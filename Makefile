# Two commands on a fresh machine: make lab, make test. Everything else is listed by make help.
SHELL := /bin/bash
GO    ?= go
export CGO_ENABLED ?= 0
SQLC   = CGO_ENABLED=1 $(GO) tool -modfile=tools/sqlc/go.mod sqlc
LINT   = CGO_ENABLED=1 $(GO) tool -modfile=tools/lint/go.mod golangci-lint
FUZZ  ?= 60s

.PHONY: help build lab test race soak bench fuzz lint gen cover deps
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the vennel program
	$(GO) build -trimpath -o vennel .

lab: build ## Start a private network with two managed nodes on this machine and try it
	./vennel lab

test: deps build ## Run all tests: unit, operation scripts, packets, real clients, both databases
	$(GO) vet ./...
	@for os in darwin windows; do echo "building the agent for $$os"; GOOS=$$os $(GO) build ./agent/... || exit 1; done
	$(GO) test -vet=off -p 3 -timeout 20m ./test ./... # the longest first, so that all others run beside it
	VENNEL_TEST_DATABASE=postgres $(GO) test -vet=off -p 4 -timeout 20m ./service/...

race: ## Run the tests with the race detector
	CGO_ENABLED=1 $(GO) test -race ./...

soak: ## Cut the power and kill the database again and again (root)
	VENNEL_SOAK=1 $(GO) test -count=1 -timeout=60m -run 'PowerCut|Kill|Soak' ./store/... ./dataplane/... ./test/...

bench: build ## Measure against neighbours in the same run
	$(GO) test -run '^$$' -bench . -benchmem ./wire/... ./store/... ./service/iam/policy/ ./dns ./dataplane/linux/nft
	VENNEL_BENCH=1 $(GO) test -count=1 -timeout=60m -v -run Bench ./dataplane/linux ./test/...

fuzz: ## Fuzz every parser of outside bytes, FUZZ=60s each
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ) -fuzzminimizetime 100x $$package || exit 1; \
		done; \
	done

lint: ## Check formatting, run the linters and build for other systems
	@for os in darwin windows; do echo "building for $$os"; GOOS=$$os $(GO) build -o /dev/null . || exit 1; done
	@test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v /gen_))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	$(LINT) run

gen: ## Make all generated files again
	$(GO) generate ./api
	$(SQLC) generate
	LC_ALL=C; cat sqlc.yaml store/migrations/*.sql service/*/queries.sql service/*/*/queries.sql | sha256sum | cut -d' ' -f1 > sqlc.sum
	$(GO) run ./internal/gendocs

cover: ## Measure test coverage and count the expectations that are guesses
	$(GO) test -coverpkg=./... -coverprofile=.cover.out ./... && $(GO) tool cover -func=.cover.out | tail -1
	@echo "scripts whose expectations are a guess: $$(grep -rl '^# source: guess' --include='*.txtar' . | wc -l) of $$(find . -name '*.txtar' | wc -l)"

deps:
	@.ci/deps
