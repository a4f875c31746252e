# Figures: included by the top Makefile. Nothing here is a test; docs/performance.md keeps the tables with machine and date.

.PHONY: bench load callgen
bench: ## Media and parser benches, then calls with real speech: CPU, memory, delay, loss
	cargo bench -p gateway-benches
	$(MAKE) callgen

callgen: ## Calls with real speech through a release gateway
	cargo build --release -p gateway-daemon -p gateway-benches
	target/release/callgen

load: ## SIPp signalling sweep, then a flood of strangers during calls
	cargo build --release -p gateway-daemon -p gateway-benches
	target/release/load
