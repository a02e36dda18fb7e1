# Every command that a person types. `make` alone lists them.

VENV := target/venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# checkov wants other versions of what is in the first environment, so it has one of its own.
CHECKOV := target/checkov
CHECKOV_INSTALLED := $(CHECKOV)/.installed
# cargo-lambda and its linker come with the virtual environment.
LAMBDA := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cargo lambda build --locked
FUNCTIONS := $(notdir $(wildcard functions/*))
BINS := $(addprefix --bin ,$(FUNCTIONS))
ARCH ?= arm64
TARGET = $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-unknown-linux-gnu
REGION ?= us-east-1
BUCKETS ?= 2000
EVERY ?= 1
SECONDS_EACH ?= 300
# Plays changes while Security Hub answers so many seconds late, and events come twice and out of order.
lag = SANDBOX_ARGUMENTS="--security-hub-lag $(1) --event-duplicate 0.3 --event-shuffle 5 --event-seed 7 \
	  --settings $(CURDIR)/tests/lag/cmkwatch.toml" cargo test --locked --package cmkwatch-tests --test lag -- --nocapture
# Kills functions; a message comes again once the run that had it must have ended.
kill = SANDBOX_ARGUMENTS="--settle-delay 0 --second-look 1 --timeout 8 --sweep-timeout 8 \
	  --settings $(CURDIR)/tests/lag/cmkwatch.toml" cargo test --locked --package cmkwatch-tests --test kill -- --nocapture
# What infra/deploy is asked for. It comes to it in the environment, so that no shell looks into the values.
export ARTIFACTS ORGANIZATION_ID TARGETS REGION REGIONS PARAMETERS REMOVE BUS_ARN HOME_REGION ROLE_ARN UNCHECKED
deploy: export ARCH := $(ARCH)
export PYTHONPATH := $(CURDIR):$(CURDIR)/tests
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help demo sandbox quick test test-lag check unit-test end-to-end-test organization-test scenario-test least-privilege-test functions \
	scale bench fuzz deploy deploy-management undeploy undeploy-management clean release control control-page expectations

help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: functions ## Play the changes of one bucket in a local AWS, and show its findings.
	@exec $(PYTHON) -m sandbox.demo

sandbox: functions ## Run the local AWS, with cmkwatch in it, until Ctrl-C: [SANDBOX_ARGUMENTS="--security-hub-lag 15"]
	@exec $(PYTHON) -m sandbox $(SANDBOX_ARGUMENTS)

test: check unit-test end-to-end-test demo ## Run every check and every test, and play the demo.

quick: ## Check formatting and lints, and run the unit tests, the structure tests and the pure scenarios.
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	cargo test --locked --workspace --exclude cmkwatch-tests
	cargo test --locked --package cmkwatch-tests --test structure --test scenarios

check: $(INSTALLED) $(CHECKOV_INSTALLED) ## Check formatting, lints, docs, templates and workflows.
	cargo fmt --all --check
	$(VENV)/bin/ruff format --quiet --check tests infra crates
	$(VENV)/bin/ruff check --quiet tests infra crates
	$(PYTHON) -m infra.deploy template
	$(VENV)/bin/cfn-lint target/hub.yaml infra/member.yaml
	$(VENV)/bin/zizmor --quiet --offline --pedantic .github
	$(CHECKOV)/bin/checkov --quiet --compact --framework cloudformation --skip-download --file target/hub.yaml infra/member.yaml
	$(PYTHON) tests/prose.py
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

unit-test: $(INSTALLED) ## Run the tests of crates, functions, structure, deployment and the local AWS itself.
	$(PYTHON) -m unittest discover --quiet --start-directory tests --top-level-directory tests
	$(PYTHON) -m unittest discover --quiet --start-directory infra --top-level-directory .
	$(PYTHON) -m unittest discover --quiet --start-directory crates/controls/scaffold
	cargo test --locked --workspace --exclude cmkwatch-tests
	cargo test --locked --package cmkwatch-tests --test structure --test scenarios

# The local AWS is one Python process: two suites at once take both processors. Kills and lags need the machine to themselves.
end-to-end-test: functions ## Run the functions in the local AWS, with all permissions and with each one removed.
	cargo test --locked --package cmkwatch-tests --no-run
	@$(MAKE) --jobs 2 --output-sync=target organization-test least-privilege-test scenario-test
	$(kill)
	$(call lag,15)

organization-test: functions
	cargo test --locked --package cmkwatch-tests --test organization -- --test-threads=1

scenario-test: functions
	cargo test --locked --package cmkwatch-tests --test end_to_end
	SANDBOX_ARGUMENTS="--settle-delay 0 --timeout 300 --sweep-timeout 300" \
	  cargo test --locked --package cmkwatch-tests --test key_users -- --nocapture

test-lag: functions ## Play changes of 50 buckets while Security Hub answers 15 and 60 seconds late, and kill functions at random.
	LAG_SECONDS=120 LAG_BUCKETS=50 $(call lag,15)
	LAG_SECONDS=120 LAG_BUCKETS=50 $(call lag,60)
	$(kill) --ignored

least-privilege-test: functions ## Remove each permission in turn, and check that something then fails.
	SANDBOX_ARGUMENTS="--settle-delay 0 --second-look 1" \
	  cargo test --locked --package cmkwatch-tests --test least_privilege -- --test-threads=1

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

$(CHECKOV_INSTALLED): infra/checkov/requirements.txt infra/checkov/constraints.txt
	@echo "installing checkov into $(CHECKOV)"
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or later is needed")'
	python3 -m venv $(CHECKOV)
	$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check --requirement $< \
	  --constraint infra/checkov/constraints.txt
	@touch $@

expectations: ## Rewrite the expected verdicts of scenarios and snapshots; review the diff.
	UPDATE_EXPECT=1 cargo test --locked --package controls
	UPDATE_EXPECT=1 cargo test --locked --package cmkwatch-tests --test scenarios

control: ## Write the parts of a new control: NAME=slug [LEVEL=cmk], see docs/adding-a-control.md.
	@python3 crates/controls/scaffold/new_control.py '$(NAME)' '$(or $(LEVEL),cmk)'
	@$(MAKE) --no-print-directory control-page

control-page: ## Write crates/controls/README.md from the texts of the controls.
	@mkdir -p target
	@cargo run --quiet --bin cmkwatch explain --output markdown > target/controls.md
	@mv target/controls.md crates/controls/README.md

scale: functions ## Count the calls and the memory of a sweep of many buckets: [BUCKETS=2000] [EVERY=1]
	SANDBOX_ARGUMENTS="--sweep-timeout 900" BUCKETS=$(BUCKETS) EVERY=$(EVERY) \
	  cargo test --locked --package cmkwatch-tests --test scale -- --ignored --nocapture

bench: ## Measure how long the analysis of policies takes.
	cargo bench --locked --package controls

fuzz: ## Fuzz the analysis of policies (cargo-fuzz and a nightly compiler): [SECONDS_EACH=300]
	cd crates/iam-policy && for target in document allowed gap; do \
	  cargo +nightly fuzz run $$target -- -max_total_time=$(SECONDS_EACH) -max_len=8192 || exit 1; done

release: $(INSTALLED) ## Build what a release attaches into target/release-files: [ARCH=arm64].
	$(LAMBDA) --release --target $(TARGET) $(BINS) --bin cmkwatch
	@rm -rf target/release-files && mkdir -p target/release-files
	@for function in $(FUNCTIONS); do cp infra/cmkwatch.toml target/lambda/$$function/ && \
	  (cd target/lambda/$$function && python3 -m zipfile -c ../../release-files/$$function-$(ARCH).zip bootstrap cmkwatch.toml) || exit 1; done
	@cp target/lambda/cmkwatch/bootstrap target/release-files/cmkwatch-$(ARCH)-linux
	@ls -l target/release-files

deploy: $(INSTALLED) ## Deploy cmkwatch (docs/operations.md): ARTIFACTS=bucket ORGANIZATION_ID=o-... TARGETS=r-... REGIONS=... [DRY_RUN=yes]
	@$(PYTHON) -m infra.deploy check
	@$(PYTHON) -m infra.deploy preview
ifneq ($(DRY_RUN),yes)
	$(LAMBDA) --release --target $(TARGET) $(BINS)
	@for function in $(FUNCTIONS); do cp infra/cmkwatch.toml target/lambda/$$function/; done
	@$(PYTHON) -m infra.deploy deploy
endif

deploy-management: $(INSTALLED) ## Deploy cmkwatch in the management account: BUS_ARN=... ORGANIZATION_ID=o-... HOME_REGION=... REGIONS=...
	@$(PYTHON) -m infra.deploy check-management
	@$(PYTHON) -m infra.deploy deploy-management

undeploy: $(INSTALLED) ## Remove cmkwatch from the hub and from all member accounts: [REGION=us-east-1]
	@$(PYTHON) -m infra.deploy undeploy

undeploy-management: $(INSTALLED) ## Remove cmkwatch from the management account: REGIONS=...
	@$(PYTHON) -m infra.deploy undeploy-management

clean: ## Remove everything that was built or installed.
	rm -rf target
