#![deny(warnings)]

use jobs::prelude::*;

/// Every minute of an hour.
#[recurring("* 3 * * *")]
async fn sixty_times() {}

/// A time that there is not on the day when clocks go forward.
#[recurring("30 2 * * *", tz = "Europe/Berlin")]
async fn in_the_gap() {}

/// Accepted.
#[recurring("*/7 * * * *")]
#[allow(deprecated)]
async fn uneven() {}

fn main() {
    let _ = (sixty_times.enqueue(), in_the_gap.enqueue(), uneven.enqueue());
}
