//! When the process is told to stop.

use std::io;

/// Listens for Ctrl-C, and on Unix for SIGTERM, which is what service managers and containers send. From
/// the moment on that it is made, these do not end the process any more.
#[cfg(unix)]
pub(super) struct StopSignal([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl StopSignal {
    pub(super) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self([interrupt, signal(SignalKind::terminate())?]))
    }

    pub(super) async fn received(self) -> io::Result<()> {
        let Self([mut interrupt, mut terminate]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
}

#[cfg(not(unix))]
pub(super) struct StopSignal;

#[cfg(not(unix))]
impl StopSignal {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn received(self) -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
