//! The socket under the HTTP library: adds a body to the library's own error answers, and detects that a client
//! has gone.
//!
//! A client that has closed its sending side may still read (`shutdown`) or may have gone (`close`); both look
//! the same until the proxy sends something. So the proxy sends bytes that every client ignores: an interim
//! response before the answer has begun, or a comment in a stream of events. If the client has gone, its system
//! then resets the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::connection::ConnectionState;
use super::refusal;

/// The limits in time and in bytes for a client that still sends after an error. Then the connection is reset.
const LINGER_TIME: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// The first interval between two checks whether the client has gone. It doubles each time, up to the last
/// interval.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// The maximum number of interim responses. Some clients accept only five.
const MOST_INTERIM: u8 = 3;

const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection to a client.
pub(super) struct Wire {
    stream: TcpStream,
    state: Arc<ConnectionState>,
    /// What is written before anything else.
    own: BytesMut,
    /// Once the client has ended its side while a request is answered.
    parting: Option<Parting>,
    /// Set after an error answer of the library and at the end of an upgraded connection: until when, and for how many bytes, incoming data is read and
    /// discarded.
    refused: Option<(Pin<Box<Sleep>>, usize)>,
}

/// A client that has closed its side.
struct Parting {
    next_look: Pin<Box<Sleep>>,
    wait: Duration,
    interim: u8,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, state: Arc<ConnectionState>) -> Self {
        Self { stream, state, own: BytesMut::new(), parting: None, refused: None }
    }

    /// Writes the bytes of this module.
    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.own))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Checks whether the client of the running request has gone, and wakes the task when it does.
    fn watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.state.is_busy() {
            self.parting = None;
            return Ok(());
        }
        if self.parting.is_none() {
            let mut byte = [0];
            match self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
                Poll::Ready(Ok(0)) => {}
                // There is more to read. The library reads it later.
                Poll::Ready(Ok(_)) | Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error),
            }
            self.state.note_ended();
            // For a stream of events to be asked for its comment.
            cx.waker().wake_by_ref();
            let mut parting =
                Parting { next_look: Box::pin(sleep(FIRST_LOOK)), wait: FIRST_LOOK, interim: 0 };
            self.ask(cx, &mut parting)?;
            self.parting = Some(parting);
        }
        let Some(mut parting) = self.parting.take() else { return Ok(()) };
        while parting.next_look.as_mut().poll(cx).is_ready() {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            if parting.wait == LAST_LOOK {
                self.ask(cx, &mut parting)?;
            }
            parting.wait = (parting.wait * 2).min(LAST_LOOK);
            parting.next_look = Box::pin(sleep(parting.wait));
        }
        self.parting = Some(parting);
        Ok(())
    }

    /// Sends an interim response, unless the answer has begun.
    fn ask(&mut self, cx: &mut Context<'_>, parting: &mut Parting) -> io::Result<()> {
        if self.state.has_begun() || parting.interim == MOST_INTERIM {
            return Ok(());
        }
        if !self.state.takes_interim() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        parting.interim += 1;
        self.own.extend_from_slice(INTERIM);
        match self.poll_own(cx) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }

    /// Reads and discards what a client still sends after an error. Otherwise the unread data would reset the
    /// connection, and the client would lose the error.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((end, left)) = &mut self.refused else { return Poll::Ready(()) };
        let mut scrap = [0; 4096];
        while end.as_mut().poll(cx).is_pending() && *left > 0 {
            let mut scrap = ReadBuf::new(&mut scrap);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut scrap));
            if read.is_err() || scrap.filled().is_empty() {
                return Poll::Ready(());
            }
            *left = left.saturating_sub(scrap.filled().len());
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_own(cx))?;
        self.state.note_begun();
        let Some(refusal) = refusal::in_place_of(bytes) else {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        };
        self.own.extend_from_slice(&refusal);
        self.refused = Some((Box::pin(sleep(LINGER_TIME)), LINGER_BYTES));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut full = parts.iter().filter(|part| !part.is_empty());
        if let (Some(only), None) = (full.next(), full.next()) {
            return self.poll_write(cx, only);
        }
        ready!(self.poll_own(cx))?;
        self.state.note_begun();
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The library calls this when it has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(self.watch(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        // Its last frame may be about something that the client still sends.
        if self.state.is_upgraded() && self.refused.is_none() {
            self.refused = Some((Box::pin(sleep(LINGER_TIME)), LINGER_BYTES));
        }
        ready!(self.poll_linger(cx));
        Poll::Ready(Ok(()))
    }
}
