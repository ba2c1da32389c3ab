//! A connection between a program and its database that breaks at the worst moment: when the database has
//! done what it was asked and the answer is on its way.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stands between programs and a PostgreSQL server.
pub(crate) struct Proxy {
    /// The same database, through this proxy.
    pub(crate) url: String,
    rule: Arc<Rule>,
}

/// Which answers are swallowed, and their connections with them.
#[derive(Default)]
struct Rule {
    /// The one after so many; negative: none.
    next: AtomicI64,
    /// One of so many, by chance; 0: none.
    one_of: AtomicU64,
    swallowed: AtomicU64,
}

impl Rule {
    fn swallows(&self) -> bool {
        let one_of = self.one_of.load(Ordering::SeqCst);
        let chosen = self.next.fetch_sub(1, Ordering::SeqCst) == 0;
        let unlucky = one_of > 0 && fastrand::u64(..one_of) == 0;
        if chosen || unlucky {
            self.swallowed.fetch_add(1, Ordering::SeqCst);
        }
        chosen || unlucky
    }
}

impl Proxy {
    /// A proxy that passes everything on, until told otherwise. It lives as long as the runtime.
    pub(crate) async fn before(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let rule = Arc::new(Rule::default());
        rule.next.store(-1, Ordering::SeqCst);
        let url = options
            .host("127.0.0.1")
            .port(port)
            .to_url_lossy()
            .to_string();
        let passing = Arc::clone(&rule);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (server, rule) = (server.clone(), Arc::clone(&passing));
                tokio::spawn(async move {
                    // Who cannot reach the server finds its connection closed.
                    if let Ok(server) = TcpStream::connect(server).await {
                        pass(client, server, &rule).await;
                    }
                });
            }
        });
        Self { url, rule }
    }

    /// Swallows one answer: that after so many others.
    pub(crate) fn swallow_after(&self, answers: i64) {
        self.rule.next.store(answers, Ordering::SeqCst);
    }

    /// Swallows one of so many answers, by chance; with 0 no more.
    pub(crate) fn swallow_one_of(&self, answers: u64) {
        self.rule.one_of.store(answers, Ordering::SeqCst);
    }

    /// How many answers were swallowed.
    pub(crate) fn swallowed(&self) -> u64 {
        self.rule.swallowed.load(Ordering::SeqCst)
    }
}

/// Passes on what both say until one of them goes, or an answer is swallowed; then closes both sides.
async fn pass(mut client: TcpStream, mut server: TcpStream, rule: &Rule) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asking = tokio::io::copy(&mut from_client, &mut to_server);
    let answering = async {
        let mut answer = vec![0; 64 * 1024];
        loop {
            match from_server.read(&mut answer).await {
                Ok(0) | Err(_) => return,
                Ok(_) if rule.swallows() => return,
                Ok(length) if to_client.write_all(&answer[..length]).await.is_ok() => {}
                Ok(_) => return,
            }
        }
    };
    tokio::select! {
        _ = asking => {}
        () = answering => {}
    }
}
