# Real peers: included by the top Makefile. WEEBEE_PEERS_DIR moves the cache of chroots.

.PHONY: peers test-peers peers-status
peers: ## Bring Asterisk 16, Asterisk 22, baresip and SIPp from Debian packages (root, about a minute, cached)
	tests-peers/scripts/install.sh

peers-status: ## Say which peers are here
	tests-peers/scripts/status.sh

test-peers: peers ## Calls through real peers, judged by sound
	$(CARGO) build -p gateway-daemon --bin weebee
	WEEBEE_PEERS_REQUIRED=1 $(CARGO) test -p gateway-tests-peers -- --test-threads=1 --nocapture
