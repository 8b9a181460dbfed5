//! The signals that ask a server to end: Ctrl-C, `kill`, and the terminal that is closed. All mean the same.

use std::io;

use tokio::sync::mpsc;

/// The signals that arrive from [`Signals::listen`] on.
pub struct Signals(mpsc::UnboundedReceiver<()>);

impl Signals {
    /// Listens for the signals, in the runtime that this is called in.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> io::Result<Signals> {
        let (sender, receiver) = mpsc::unbounded_channel();
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
            // `nohup` asks for a server that outlives its terminal.
            if !is_ignored(SignalKind::hangup().as_raw_value()) {
                kinds.push(SignalKind::hangup());
            }
            for kind in kinds {
                let (mut signals, sender) = (signal(kind)?, sender.clone());
                tokio::spawn(async move {
                    while signals.recv().await.is_some() && sender.send(()).is_ok() {}
                });
            }
        }
        #[cfg(not(unix))]
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() && sender.send(()).is_ok() {}
        });
        Ok(Signals(receiver))
    }

    /// Waits for the next one.
    pub async fn arrived(&mut self) {
        if self.0.recv().await.is_none() {
            // Nobody listens any more.
            std::future::pending::<()>().await;
        }
    }
}

/// Whether whoever started the process had this signal ignored. Only Linux tells; elsewhere it is heard.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
