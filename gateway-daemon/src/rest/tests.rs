//! Who may ask, and what is answered: with a real HTTP client.
