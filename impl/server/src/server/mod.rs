//! The replicated server: requests of clients through Raft to the store.
//!
//! [`Running`] is a server with its Raft thread; [`Server`] is the handle by which requests are made.
//! Each server passes proposals on to the leader, asks the leader for a read index, and answers from
//! its own store, so clients can talk to any of them.

mod agreement;
mod apply;
mod check_data;
mod command;
mod config;
mod error;
mod files;
mod ids;
mod inner;
mod log_view;
mod membership;
mod raft_loop;
mod reads;
mod reconfigure;
mod requests;
mod snapshots;
mod start;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use check_data::{Report, check_data};
pub use config::{ClusterState, Config};
pub use error::Error;
pub use inner::Exit;
pub use requests::{PeerRoutes, VERSION};
pub use start::StartError;

use crate::log::LogStore;
use inner::{Inner, Input};

/// A handle on a server, to make requests.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// A server that runs. It owns the Raft thread; dropping it stops the server, without waiting.
pub struct Running {
    server: Server,
    thread: Mutex<Option<JoinHandle<()>>>,
    publish: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts a server with the files in its folder.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        start::start(config).await
    }

    /// Starts a server with a log of the caller's choice; the store is in the folder.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong.
    pub async fn start_with_log(config: Config, log: impl LogStore) -> Result<Running, StartError> {
        start::start_with(config, log).await
    }

    /// The handle for requests.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Waits until the server stops by itself, and says why it did.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.server.inner.exit.subscribe();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Exit::Stopped),
            Err(_) => Exit::Stopped,
        }
    }

    /// Stops the server and waits until its files are synced and its thread has ended. A leader hands
    /// over first, so that nobody waits for an election.
    pub async fn stop(&self) -> Exit {
        self.publish.abort();
        self.server.hand_over().await;
        self.request_stop().await;
        let exit = self.exited().await;
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It has said that it ends; a panic in it was printed where it happened.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
        exit
    }

    async fn request_stop(&self) {
        // A full queue is being worked off.
        while matches!(
            self.server.inner.input(Input::Stop),
            Err(Error::TooManyRequests)
        ) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.publish.abort();
        drop(self.server.inner.input(Input::Stop));
    }
}
