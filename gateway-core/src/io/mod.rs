//! Floor 6: sockets, runtime, OS clock, entropy: the only module with windows.
//! (`heart` writes `signalling`, `plane` writes `media`.)
