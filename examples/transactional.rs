//! A job that exists exactly if the order does: enqueued within the handler's own transaction.
//! `cargo run --example transactional`
//!
//! The web framework here is axum; nothing in it is particular to axum. The database is a SQLite file;
//! on PostgreSQL it reads the same, with `PgPool` and `PgStorage`.

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::{Router, routing::post};
use jobs::SqliteStorage;
use jobs::prelude::*;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Deserialize, Serialize)]
struct Order {
    customer: String,
    cents: i64,
}

#[job(queue = "mail")]
async fn confirm(order_id: i64, customer: String) {
    println!("mail: order {order_id} is confirmed, dear {customer}");
}

/// Stores the order and the job that confirms it. Whatever fails, neither is there.
async fn place(State(db): State<SqlitePool>, Json(order): Json<Order>) -> Result<String, Failure> {
    let mut tx = db.begin().await?;
    let insert = "insert into orders (customer, cents) values ($1, $2) returning id";
    let id: i64 = sqlx::query_scalar(insert)
        .bind(&order.customer)
        .bind(order.cents)
        .fetch_one(&mut *tx)
        .await?;
    confirm.enqueue(id, &order.customer).within(&mut tx).await?;
    if order.cents < 0 {
        Err(anyhow::anyhow!("an order cannot be negative"))?; // rolls back both
    }
    tx.commit().await?;
    Ok(format!("order {id}\n"))
}

struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> axum::response::Response {
        (StatusCode::UNPROCESSABLE_ENTITY, format!("{}\n", self.0)).into_response()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("jobs-transactional-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let url = format!("sqlite://{}?mode=rwc", folder.join("shop.db").display());
    let db = SqlitePool::connect(&url).await?;
    sqlx::query("create table orders (id integer primary key, customer text, cents integer)")
        .execute(&db)
        .await?;

    // The jobs live in the application's own database, beside its tables.
    let storage: jobs::StorageHandle = SqliteStorage::builder()
        .pool(db.clone())
        .connect()
        .await?
        .into();
    let client = Client::new(storage.clone());
    client.install();
    let worker = Worker::builder(storage).start().await?;

    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    let app = Router::new().route("/orders", post(place)).with_state(db);
    tokio::spawn(async move { axum::serve(server, app).await });

    print!("{}", order(address, "ana", 1200).await?);
    print!("{}", order(address, "bo", -5).await?);
    while client.inspect().counts().await?.unfinished() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    println!(
        "{} job was stored",
        client.inspect().counts().await?.succeeded
    );

    worker.stop().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Orders as a browser would, over HTTP; answers the body.
async fn order(to: std::net::SocketAddr, customer: &str, cents: i64) -> anyhow::Result<String> {
    let body = serde_json::to_string(&Order {
        customer: customer.into(),
        cents,
    })?;
    let mut stream = tokio::net::TcpStream::connect(to).await?;
    let head = "POST /orders HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer
        .split_once("\r\n\r\n")
        .map_or(String::new(), |(_, body)| body.to_owned()))
}
