//! gateway-tests-peers
