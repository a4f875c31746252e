//! gateway-benches
