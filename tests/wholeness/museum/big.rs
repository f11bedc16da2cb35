//! Rows that are large: whole, and within the memory that a worker's pod has.
