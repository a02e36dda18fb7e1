# Every command that a person types. `make` alone lists them.

VENV := target/venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# cargo-lambda and its linker come with the virtual environment.
LAMBDA := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cargo lambda build --locked
FUNCTIONS := $(notdir $(wildcard functions/*))
BINS := $(addprefix --bin ,$(FUNCTIONS))
ARCH ?= arm64
REGION ?= us-east-1
BUCKETS ?= 1000
EVERY ?= 1
SECONDS_EACH ?= 300
export PYTHONPATH := $(CURDIR)/tests
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help demo sandbox test check unit-test end-to-end-test functions scale bench fuzz deploy deploy-member clean

help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: functions ## Play the story of a bucket that drifts, in a local AWS.
	@exec $(PYTHON) -m sandbox.demo

sandbox: functions ## Run the local AWS with cmkwatch in it until Ctrl-C; target/sandbox.json says what is where.
	@exec $(PYTHON) -m sandbox

test: check unit-test end-to-end-test ## Run every check and every test.

check: $(INSTALLED) ## Check formatting, lints, docs and templates.
	cargo fmt --all --check
	$(VENV)/bin/ruff format --quiet --check --config tests/sandbox/ruff.toml tests/sandbox
	$(VENV)/bin/ruff check --quiet --config tests/sandbox/ruff.toml tests/sandbox
	$(VENV)/bin/cfn-lint infra/*.yaml
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

unit-test: $(INSTALLED) ## Run the tests of crates, functions, structure and the local AWS itself.
	$(PYTHON) -m unittest --quiet sandbox.test_securityhub sandbox.test_access sandbox.test_sweep_services sandbox.test_queues \
	  sandbox.test_formation sandbox.test_alerts sandbox.test_roles
	cargo test --locked --workspace --exclude cmkwatch-tests
	cargo test --locked --package cmkwatch-tests --test structure --test scenarios

end-to-end-test: functions ## Run the functions in the local AWS.
	cargo test --locked --package cmkwatch-tests --test end_to_end
	cargo test --locked --package cmkwatch-tests --test organization -- --test-threads=1

functions: $(INSTALLED)  ## Build the functions for the local AWS.
	@echo "building the functions; the first time the AWS SDK takes some minutes"
	$(LAMBDA) --profile sandbox $(BINS)
	@for function in $(FUNCTIONS); do cp infra/cmkwatch.toml target/lambda/$$function/; done

$(INSTALLED): tests/sandbox/requirements.txt tests/sandbox/constraints.txt
	@echo "installing the local AWS and cargo-lambda into $(VENV)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $< --constraint tests/sandbox/constraints.txt
	@touch $@

scale: functions ## Count the calls and the memory of a sweep of many buckets: [BUCKETS=1000] [EVERY=1].
	SANDBOX_ARGUMENTS="--sweep-timeout 900" BUCKETS=$(BUCKETS) EVERY=$(EVERY) \
	  cargo test --locked --package cmkwatch-tests --test scale -- --ignored --nocapture

bench: ## Measure how long policies take to be judged.
	cargo bench --locked --package controls

fuzz: ## Fuzz the analysis of policies (cargo-fuzz and a nightly compiler): [SECONDS_EACH=300].
	cd crates/iam-policy && for target in document allowed gap; do \
	  cargo +nightly fuzz run $$target -- -max_total_time=$(SECONDS_EACH) -max_len=8192 || exit 1; done

deploy: $(INSTALLED) ## Deploy the hub: ARTIFACTS=bucket ORGANIZATION_ID=o-... [ARCH=arm64|x86_64] [REGION=us-east-1].
	@test -n "$(ARTIFACTS)" -a -n "$(ORGANIZATION_ID)" || { echo "make deploy ARTIFACTS=bucket ORGANIZATION_ID=o-..."; exit 1; }
	$(LAMBDA) --release --target $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-unknown-linux-gnu $(BINS)
	@for function in $(FUNCTIONS); do cp infra/cmkwatch.toml target/lambda/$$function/; done
	$(PYTHON) -m awscli cloudformation package --region $(REGION) --template-file infra/template.yaml \
	  --s3-bucket $(ARTIFACTS) --output-template-file target/template.yaml
	$(PYTHON) -m awscli cloudformation deploy --region $(REGION) --template-file target/template.yaml \
	  --stack-name cmkwatch --capabilities CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND \
	  --no-fail-on-empty-changeset --parameter-overrides OrganizationId=$(ORGANIZATION_ID) Architecture=$(ARCH)

deploy-member: $(INSTALLED) ## Deploy a member, with its credentials: BUS_ARN=... ORGANIZATION_ID=o-... HOME_REGION=... [REGION=...].
	@test -n "$(BUS_ARN)" -a -n "$(ORGANIZATION_ID)" -a -n "$(HOME_REGION)" || \
	  { echo "make deploy-member BUS_ARN=... ORGANIZATION_ID=o-... HOME_REGION=..."; exit 1; }
	$(PYTHON) -m awscli cloudformation deploy --region $(REGION) --template-file infra/member.yaml \
	  --stack-name cmkwatch-member --capabilities CAPABILITY_NAMED_IAM \
	  --no-fail-on-empty-changeset --parameter-overrides HubBusArn=$(BUS_ARN) OrganizationId=$(ORGANIZATION_ID) \
	  HomeRegion=$(HOME_REGION)

clean: ## Remove everything that was built or installed.
	rm -rf target
