# make sim SEED=7: one world of the simulation, printed as a ladder; make sim MEETING=7: one meeting in a Jitsi room
# (docs/simulation.md).
SEED ?= 1

.PHONY: sim
sim:
	cargo run --quiet -p gateway-sim --bin sim -- $(if $(MEETING),--meeting $(MEETING),--seed $(SEED))
