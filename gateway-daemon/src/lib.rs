//! gateway-daemon
