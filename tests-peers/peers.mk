# Real peers: included by the top Makefile. WEEBEE_PEERS_DIR moves the cache of chroots.

PEER_TESTS = $(patsubst tests-peers/tests/%.rs,--test %,$(wildcard tests-peers/tests/*.rs))
.PHONY: peers test-peers peers-status demo-dialin
peers: ## Bring Asterisk 16, Asterisk 22, baresip, SIPp and Chromium from Debian packages (root, about a minute, cached)
	tests-peers/scripts/install.sh

peers-status: ## Say which peers are here
	tests-peers/scripts/status.sh

# The same packages as `make test` selects (cli brings the program `weebee`), or Cargo would build the dependencies once more.
test-peers: peers ## Calls through real peers, judged by sound
	$(CARGO) test --workspace --lib -- sound:: table::
	WEEBEE_PEERS_REQUIRED=1 $(CARGO) test --workspace --test cli $(PEER_TESTS) -- --test-threads=1 --nocapture

demo-dialin: peers ## A meeting in the chat is joined by telephone: chat, Prosody, Asterisk; prints each step with its time
	WEEBEE_PEERS_REQUIRED=1 WEEBEE_DEMO=1 $(CARGO) test --workspace --test cli --test demo_dialin -- --test-threads=1 --nocapture a_meeting_of_the_chat
