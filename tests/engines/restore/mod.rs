//! Full restores on the MySQL family: what comes back, what is refused, and what a process leaves that dies on the way.

mod clients;
mod comes_back;
mod downtime;
mod gone;
mod kills;
mod more;
mod refused;
