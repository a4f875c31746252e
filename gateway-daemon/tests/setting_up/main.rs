//! Dial-in is set up as the papers say, and by people who make mistakes.

mod guide;
mod jigasi;
mod mistakes;
mod place;
