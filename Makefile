# WeeBee gateway. `make` alone lists what can be done. Parts of the workspace bring their own targets in */*.mk.

CARGO ?= cargo
SIP_PORT ?= 5060
HTTP_PORT ?= 8788
.DEFAULT_GOAL := help
.PHONY: help check-tools run test ci fmt lint docs reference

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

check-tools: ## Say (or, as root on Debian, install) what the build needs from the system
	@sh scripts/need.sh

run: check-tools ## Build and start a gateway on loopback with a demo room (SIP_PORT=5070 HTTP_PORT=8789 move it)
	$(CARGO) build --release -p gateway-daemon --bin weebee
	target/release/weebee run --demo --sip-port $(SIP_PORT) --http-port $(HTTP_PORT)

test: check-tools ## All tests that need no foreign server
	$(CARGO) test --workspace --exclude gateway-tests-peers

fmt: ## Is every file formatted?
	$(CARGO) fmt --all --check

lint: ## Clippy, warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

docs: ## The crates' documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

reference: ## Write docs/config.md and docs/metrics.md from the code
	$(CARGO) run -p gateway-daemon --bin weebee -- config --reference > docs/config.md.new
	$(CARGO) run -p gateway-daemon --bin weebee -- config --metrics > docs/metrics.md.new
	mv docs/config.md.new docs/config.md
	mv docs/metrics.md.new docs/metrics.md

ci: check-tools fmt lint docs test test-peers ## What continuous integration runs; fails where the peers cannot be installed

include $(wildcard */*.mk)
