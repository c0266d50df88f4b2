//! A client that sends bytes as they are, over one connection for as long as it lasts.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer takes, even where everything else is busy.
const HANG: Duration = Duration::from_secs(60);

pub(super) struct Client {
    port: u16,
    connection: Option<BufReader<TcpStream>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
    pub(super) is_head: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{}\n{}", self.head, body.chars().take(2000).collect::<String>())
    }
}

impl Answer {
    /// Whether it is a stream with an internal error of the proxy.
    pub(super) fn is_failed_stream(&self) -> bool {
        let says = |text: &str| self.body.windows(text.len()).any(|window| window == text.as_bytes());
        self.head.to_ascii_lowercase().contains("text/event-stream") && says("\"internal_error\"")
    }
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        Self { port, connection: None }
    }

    /// Sends a request and reads its answer.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Answer, String> {
        let had_one = self.connection.is_some();
        match self.exchange(request) {
            // A connection that has served before may have been closed in between.
            Err(Failure::Gone) if had_one => self.exchange(request),
            other => other,
        }
        .map_err(|failure| match failure {
            Failure::Gone => "the connection was closed without an answer".to_owned(),
            Failure::Bad(why) => why,
        })
    }

    fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = TcpStream::connect(("127.0.0.1", self.port))?;
                connection.set_read_timeout(Some(HANG))?;
                connection.set_nodelay(true)?;
                BufReader::new(connection)
            }
        };
        // The proxy may close the connection before the whole request is sent. Its answer is still there.
        let _sent = connection.get_mut().write_all(request);
        let is_head = request.starts_with(b"HEAD ");
        let head = loop {
            let head = read_head(&mut connection)?;
            if status_of(&head)? != 100 {
                break head;
            }
        };
        let status = status_of(&head)?;
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        let mut closes = field("connection").is_some_and(|value| value.contains("close"));
        let mut body = Vec::new();
        if is_head || status == 204 || status == 304 {
        } else if field("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            read_chunks(&mut connection, &mut body)?;
        } else if let Some(length) = field("content-length").and_then(|length| length.parse().ok()) {
            body.resize(length, 0);
            connection.read_exact(&mut body)?;
        } else {
            connection.read_to_end(&mut body)?;
            closes = true;
        }
        if !closes {
            self.connection = Some(connection);
        }
        Ok(Answer { status, head, body, closes, is_head })
    }
}

fn read_head(connection: &mut BufReader<TcpStream>) -> Result<String, Failure> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if connection.read_line(&mut head)? == 0 {
            return if before == 0 { Err(Failure::Gone) } else { Err(Failure::Bad(format!("cut: {head}"))) };
        }
        if head[before..].trim_end().is_empty() {
            return Ok(head);
        }
    }
}

fn status_of(head: &str) -> Result<u16, Failure> {
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| Failure::Bad(format!("no HTTP: {head}")))
}

fn read_chunks(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Result<(), Failure> {
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16);
        let length = length.map_err(|_| Failure::Bad(format!("the stream ends within: {line:?}")))?;
        let start = body.len();
        body.resize(start + length + 2, 0);
        connection.read_exact(&mut body[start..])?;
        body.truncate(start + length);
        if length == 0 {
            return Ok(());
        }
    }
}

enum Failure {
    /// Nothing came at all.
    Gone,
    Bad(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        if matches!(error.kind(), ConnectionReset | BrokenPipe) {
            Self::Gone
        } else {
            Self::Bad(format!("no answer: {error}"))
        }
    }
}
