//! At most once (I2): the operator killed, lied to, put to sleep and set back in time, in the middle of restores that are
//! real: its own binary, the API server behind a gateway that does the harm, the worker's own binary in every Job's pod,
//! S3 and PostgreSQL. What counts is what is there afterwards: claims, swaps, exports.

mod crash;
mod faults;
mod gateway;
mod leaders;
mod rollback;
mod setup;
mod slots;
mod watches;
