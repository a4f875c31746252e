# Words and sounds: included by the top Makefile. Needed only after a change to prompts/catalogue or prompts/render.

.PHONY: prompts check-prompts
prompts: ## Render the prompt packs anew (needs espeak-ng)
	$(CARGO) run -p prompts-render

check-prompts: ## Would rendering change a pack? (needs the espeak-ng that made them)
	$(CARGO) run -p prompts-render -- --check
