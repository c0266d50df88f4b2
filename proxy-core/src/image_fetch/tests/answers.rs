//! Tests of the answers of a host.

use super::*;

#[tokio::test]
async fn bodies_end_in_every_way_that_http_has() {
    let chunked =
        [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"[..], &PNG[..5], b"\r\n41\r\n"]
            .concat()
            .into_iter()
            .chain(PNG[5..].iter().copied())
            .chain(*b"\r\n0\r\n\r\n")
            .collect::<Vec<u8>>();
    let until_close = [b"HTTP/1.0 200 OK\r\n\r\n", PNG].concat();
    let untyped = answer("200 OK", &["Content-Type: application/octet-stream"], PNG);
    for answer in [chunked, until_close, untyped] {
        let server = Server::start(answer).await;
        assert_eq!(fetcher(&[&server]).fetch(&server.url()).await.unwrap().as_str(), PNG_URL);
    }
}

#[tokio::test]
async fn a_body_announced_too_large_is_refused_unread() {
    for length in ["101", "99999999999", "18446744073709551000"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let (hold, held) = oneshot::channel::<()>();
        let parts = Mutex::new(Some((head, held)));
        let server = Server::serve(move |mut stream| {
            let (head, held) = parts.lock().unwrap().take().unwrap();
            async move {
                stream.write_all(head.as_bytes()).await.unwrap();
                // The body is never sent; the connection stays open until the test ends.
                let _ = held.await;
            }
        })
        .await;
        let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { limit: 100 }), "{error:?}");
        drop(hold);
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_limit() {
    let (ended, end) = oneshot::channel();
    let ended = Mutex::new(Some(ended));
    let server = Server::serve(move |mut stream| {
        let ended = ended.lock().unwrap().take().unwrap();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            stream.write_all(PNG).await.unwrap();
            while stream.write_all(&[0; 1000]).await.is_ok() {}
            ended.send(()).unwrap();
        }
    })
    .await;
    let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 100 }), "{error:?}");
    end.await.expect("the client hung up on the server");
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let server = Server::serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    })
    .await;
    let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
    assert!(matches!(error, FetchError::Answer { .. }), "{error:?}");
}

#[tokio::test]
async fn answers_that_are_no_image_are_refused() {
    let html = b"<!doctype html><title>Log in</title>";
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0";
    for (headers, body) in [
        (&["Content-Type: text/html"][..], &html[..]),
        (&["Content-Type: text/html; charset=utf-8"], PNG),
        (&["Content-Type: image/png"], html),
        (&["Content-Type: image/svg+xml"], svg),
        (&["Content-Type: image/png"], svg),
        (&[], svg),
        (&["Content-Type: image/png"], &PNG[..8]),
        (&["Content-Type: image/png"], b""),
        (&["Content-Type: image/png", "Content-Encoding: gzip"], gzip),
        (&["Content-Type: image/png", "Content-Encoding: gzip"], PNG),
        (&["Content-Type: image/png"], gzip),
    ] {
        let server = Server::start(answer("200 OK", headers, body)).await;
        let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
        assert!(matches!(error, FetchError::NotAnImage { .. }), "{headers:?} {body:?}: {error:?}");
    }
}

#[tokio::test]
async fn other_statuses_are_refused_even_with_an_image() {
    for status in [201, 204, 206, 300, 304, 305, 401, 404, 410, 429, 500, 503] {
        let body = if matches!(status, 204 | 304) { &b""[..] } else { PNG };
        let server = Server::start(answer(&format!("{status} Whatever"), &["Location: /"], body)).await;
        let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
        assert!(matches!(error, FetchError::Status(got) if got == status), "{status}: {error:?}");
    }
}

#[tokio::test]
async fn broken_answers_are_errors() {
    let short = [b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n", PNG].concat();
    let open = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n", PNG].concat();
    for answer in [
        short,
        open,
        b"".to_vec(),
        PNG.to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n".to_vec(),
    ] {
        let server = Server::start(answer.clone()).await;
        let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
        assert!(matches!(error, FetchError::Answer { .. }), "{answer:?}: {error:?}");
    }
}

/// Downloads from a server that writes `head` and then a byte every ten seconds. The clock is paused until the
/// head is written; then it advances whenever all tasks wait.
async fn fetch_slowly(head: &'static [u8]) -> (Result<DataUrl, FetchError>, Duration) {
    let (written, at_stall) = oneshot::channel();
    let written = Mutex::new(Some(written));
    let server = Server::serve(move |mut stream| {
        let written = written.lock().unwrap().take().unwrap();
        async move {
            stream.write_all(head).await.unwrap();
            written.send(()).unwrap();
            let mut ticks = tokio::time::interval(Duration::from_secs(10));
            loop {
                ticks.tick().await;
                if stream.write_all(b"a").await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let fetcher = fetcher(&[&server]);
    let url = server.url();
    let fetch = tokio::spawn(async move { fetcher.fetch(&url).await });
    at_stall.await.unwrap();
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    (fetch.await.unwrap(), start.elapsed())
}

#[tokio::test]
async fn a_slow_answer_ends_at_the_timeout_however_lively_it_is() {
    for head in [
        &b"HTTP/1.1 200 OK\r\nX-Slow: "[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\x89PNG\r\n\x1a\n\0\0\0\r",
    ] {
        let (result, elapsed) = fetch_slowly(head).await;
        let error = result.unwrap_err();
        assert!(matches!(error, FetchError::Timeout { limit } if limit == config().timeout), "{error:?}");
        assert!(error.to_string().contains("60 s"));
        assert!(elapsed < config().timeout + Duration::from_secs(1), "{elapsed:?}");
        tokio::time::resume();
    }
}
