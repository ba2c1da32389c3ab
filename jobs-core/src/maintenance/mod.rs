//! What keeps a storage clean. Every worker does all of it; there is no leader, and doing it twice at
//! once is harmless.

mod rescuer;
mod scheduler;
mod upkeep;

pub(crate) use rescuer::rescue_the_dead;
pub(crate) use scheduler::fire_recurring;
pub(crate) use upkeep::keep_up;
