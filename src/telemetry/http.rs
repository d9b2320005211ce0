//! `/metrics`, `/healthz`, `/readyz`, `/freshness` over HTTP, on a thread of its own.

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tokio::runtime;
use tokio::sync::oneshot;

use super::freshness::parameter;
use super::health::{Answer, Health};
use super::metrics::Metrics;

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";
const JSON_TYPE: &str = "application/json";
const ROUTES: &str = "\
highwater

/metrics    metrics, in the format of Prometheus
/healthz    200 while every worker lives
/readyz     200 once tasks are assigned and restored
/freshness  as of when the tables of sinks are, as JSON; ?tenant=NAME for one tenant
";

/// A server that runs until it is dropped.
pub struct Server {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it listens: with port 0, the port that was free.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when the server has ended already, which is what is wanted.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Listens before it returns, so that a port in use is an error of the start.
pub fn serve(listen: SocketAddr, metrics: Arc<Metrics>, health: Arc<Health>) -> io::Result<Server> {
    let listener = bind(listen)?;
    let addr = listener.local_addr()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stop, stopped) = oneshot::channel();
    let app = router(Shared { metrics, health });
    let thread = thread::Builder::new().name("http".to_owned()).spawn(move || {
        // Dropping the runtime cuts what is still open: a client that stalls must not hold up a stop.
        runtime.block_on(async {
            tokio::select! {
                ended = async { axum::serve(listener, app).await } => {
                    tracing::warn!(error = ended.err().map(tracing::field::display), "the http server has ended");
                }
                _ = stopped => {}
            }
        });
    })?;
    tracing::debug!(%addr, "serving http");
    Ok(Server { addr, stop: Some(stop), thread: Some(thread) })
}

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(listen).map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::AddrInUse => "the address is in use; choose another one under `http.listen`".to_owned(),
            _ => error.to_string(),
        };
        io::Error::new(error.kind(), format!("cannot serve http on {listen}: {text}"))
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(|| async { text(StatusCode::OK, TEXT_TYPE, ROUTES.to_owned()) }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/freshness", get(freshness))
        .fallback(|| async { text(StatusCode::NOT_FOUND, TEXT_TYPE, format!("not found\n\n{ROUTES}")) })
        .method_not_allowed_fallback(|| async {
            text(StatusCode::METHOD_NOT_ALLOWED, TEXT_TYPE, "only GET\n".to_owned())
        })
        .with_state(shared)
}

async fn metrics(State(shared): State<Shared>) -> Response {
    text(StatusCode::OK, METRICS_TYPE, shared.metrics.render())
}

async fn healthz(State(shared): State<Shared>) -> Response {
    answered(shared.health.live(Instant::now()))
}

async fn readyz(State(shared): State<Shared>) -> Response {
    answered(shared.health.ready(Instant::now()))
}

async fn freshness(State(shared): State<Shared>, uri: Uri) -> Response {
    let tenant = uri.query().and_then(|query| parameter(query, "tenant"));
    text(StatusCode::OK, JSON_TYPE, format!("{:#}\n", shared.metrics.freshness().page(tenant.as_deref())))
}

fn answered(answer: Answer) -> Response {
    let status = if answer.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, TEXT_TYPE, answer.text + "\n")
}

/// Every answer closes its connection: a scraper comes every few seconds, and one that vanished must not keep a file
/// descriptor of ours for ever.
fn text(status: StatusCode, content_type: &'static str, body: String) -> Response {
    (status, [(CONTENT_TYPE, content_type), (CONNECTION, "close")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::health::STEP_LIMIT;
    use crate::telemetry::{Known, WorkerHealth};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    fn start(listen: SocketAddr) -> io::Result<(Server, Arc<Health>)> {
        let health = Arc::new(Health::new(1, STEP_LIMIT, Instant::now()));
        Ok((serve(listen, Arc::new(Metrics::new(Known::default())), health.clone())?, health))
    }

    fn fetch(addr: SocketAddr, path: &str) -> String {
        request(addr, "GET", path)
    }

    /// Reads until the server closes the connection.
    fn request(addr: SocketAddr, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn answers_and_follows_the_health() {
        let (server, health) = start("127.0.0.1:0".parse().unwrap()).unwrap();
        let assigned = WorkerHealth::Assigned { running: 1, restoring: 0, waiting: 0, records_left: 0 };
        let check = |path: &str, status: &str, body: &str| {
            let answer = fetch(server.addr(), path);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
            assert!(answer.contains(body), "{path}: {answer}");
        };
        check("/", "200", "/readyz");
        check("/nowhere", "404", "not found");
        assert!(request(server.addr(), "POST", "/metrics").starts_with("HTTP/1.1 405 "));
        check("/metrics", "200", "content-type: text/plain; version=0.0.4");
        check("/metrics", "200", "# TYPE highwater_build_info gauge\nhighwater_build_info{");
        check("/healthz", "200", "ok: 1 worker\n");
        check("/freshness", "200", "\"sinks\": {}");
        check("/freshness?tenant=a%20b", "200", "\"tenant\": \"a b\"");
        check("/readyz", "503", "waiting for an assignment\n");
        health.set_worker(0, assigned, Instant::now());
        check("/readyz", "200", "ready: 1 task running");
        health.set_worker(0, WorkerHealth::failed("fenced"), Instant::now());
        check("/healthz", "503", "failed: fenced\n");
    }

    #[test]
    fn a_port_in_use_is_named_and_free_again_after_the_drop() {
        let (server, _) = start("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = server.addr();
        let error = start(addr).err().expect("the port is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error.to_string().starts_with(&format!("cannot serve http on {addr}: the address is in use")),
            "{error}"
        );
        // A client that never finishes its request must not hold up the stop.
        let mut stalled = TcpStream::connect(addr).unwrap();
        stalled.write_all(b"GET /metrics HT").unwrap();
        assert!(fetch(addr, "/").contains("/metrics"));
        let stopping = Instant::now();
        drop(server);
        assert!(stopping.elapsed() < Duration::from_secs(5));
        let (again, _) = start(addr).unwrap();
        assert_eq!(again.addr(), addr);
    }
}
