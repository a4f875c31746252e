//! The embedded room: the conference backend that needs nothing outside. (`heart` writes `signal`, `plane` writes `media`.)

pub mod media;
