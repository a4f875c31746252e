//! A browser in place of a phone: the front leg of a call whose peer came by HTTP instead of SIP.

pub mod line;
pub mod offer;
pub mod signal;
