//! Sennight.
