# make sim SEED=7: one world of the simulation, printed as a ladder (docs/simulation.md).
SEED ?= 1

.PHONY: sim
sim:
	cargo run --quiet -p gateway-sim --bin sim -- --seed $(SEED)
