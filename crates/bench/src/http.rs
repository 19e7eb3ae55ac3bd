//! A client for HTTP/1.1 that costs next to nothing, so that what is measured is the server.
//!
//! One [`Http`] is one kept connection, which is opened anew after anything failed. Only what the measured servers send is understood:
//! bodies with a length, or in chunks. Wrong bytes are an error of their own, [`WrongBytes`]: nobody goes on after them.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::content::Content;

/// A request this short goes out in one piece with its body.
const ONE_PIECE_MAX: u64 = 64 << 10;
const READ_LEN: usize = 256 << 10;
/// No measured server sends longer heads, or longer answers that are not files.
const HEAD_LEN_MAX: usize = 64 << 10;
const ANSWER_LEN_MAX: usize = 256 << 20;

/// What was read is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("GET {path}: wrong bytes behind byte {at}")]
pub(crate) struct WrongBytes {
    path: String,
    at: u64,
}

/// One kept connection.
#[derive(Debug)]
pub(crate) struct Http {
    address: String,
    stream: Option<TcpStream>,
    buffer: BytesMut,
}

/// An answer that is not a file.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// How an answer begins.
struct Head {
    status: u16,
    text: String,
    body: Framing,
    closes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Http {
    /// A connection to this address, which is opened when it is needed.
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
            buffer: BytesMut::new(),
        }
    }

    /// Writes a file.
    pub(crate) async fn put(&mut self, path: &str, content: Content) -> Result<()> {
        let answer = self.send("PUT", path, "", Some(content)).await?;
        let is_stored = matches!(answer.status, 200 | 201 | 204);
        ensure!(is_stored, "PUT {path}: {}", said(&answer));
        Ok(())
    }

    /// Reads a file and compares it.
    pub(crate) async fn get(&mut self, path: &str, content: Content) -> Result<()> {
        let result = self.try_get(path, content).await;
        self.keep_if(result.as_ref().is_ok_and(|closes| !closes));
        result.map(drop)
    }

    /// How long it takes until the first byte of a file is there, in seconds, over a new connection.
    pub(crate) async fn first_byte(&mut self, path: &str) -> Result<f64> {
        self.keep_if(false);
        let begun = Instant::now();
        self.write_head("GET", path, "", None).await?;
        let head = self.read_head().await?;
        ensure!(head.status == 200, "GET {path}: status {}", head.status);
        while self.buffer.is_empty() {
            self.fill().await?;
        }
        let took = begun.elapsed().as_secs_f64();
        self.keep_if(false);
        Ok(took)
    }

    /// Any other request, with its answer whole. `headers` are lines that end with `\r\n`.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<Content>,
    ) -> Result<Answer> {
        let result = self.try_send(method, path, headers, body).await;
        let is_kept = result.as_ref().is_ok_and(|(_, closes)| !closes);
        self.keep_if(is_kept);
        Ok(result?.0)
    }

    async fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<Content>,
    ) -> Result<(Answer, bool)> {
        self.write_request(method, path, headers, body).await?;
        let head = self.read_head().await?;
        let has_body = head.status != 204 && method != "HEAD";
        let body = match head.body {
            _ if !has_body => Vec::new(),
            Framing::Length(len) => self.take(usize::try_from(len)?).await?,
            Framing::Chunked => self.take_chunks().await?,
        };
        let answer = Answer {
            status: head.status,
            head: head.text,
            body,
        };
        Ok((answer, head.closes))
    }

    /// Says whether the server closes the connection.
    async fn try_get(&mut self, path: &str, mut content: Content) -> Result<bool> {
        self.write_head("GET", path, "", None).await?;
        let head = self.read_head().await?;
        ensure!(head.status == 200, "GET {path}: status {}", head.status);
        let is_whole = head.body == Framing::Length(content.len());
        ensure!(
            is_whole,
            "GET {path}: {} bytes were stored, {:?} came",
            content.len(),
            head.body
        );
        let mut at = 0;
        while !content.is_over() {
            if self.buffer.is_empty() {
                self.fill().await?;
            }
            let left = usize::try_from(content.len() - at).unwrap_or(usize::MAX);
            let len = self.buffer.len().min(left);
            if !content.takes(&self.buffer[..len]) {
                let path = path.to_owned();
                return Err(WrongBytes { path, at }.into());
            }
            at += len as u64;
            self.buffer.advance(len);
        }
        Ok(head.closes)
    }

    async fn write_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<Content>,
    ) -> Result<()> {
        let Some(mut content) = body else {
            return self.write_head(method, path, headers, None).await;
        };
        if content.len() <= ONE_PIECE_MAX {
            let body = content.piece();
            return self
                .write_head(method, path, headers, Some((body, body.len() as u64)))
                .await;
        }
        let announced = (&[][..], content.len());
        self.write_head(method, path, headers, Some(announced))
            .await?;
        while !content.is_over() {
            let piece = content.piece();
            let len = piece.len();
            self.stream().await?.write_all(piece).await?;
            content.advance(len);
        }
        Ok(())
    }

    /// With a body, or the beginning of one, and its length.
    async fn write_head(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<(&[u8], u64)>,
    ) -> Result<()> {
        let host = &self.address;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}").into_bytes();
        if let Some((_, len)) = body {
            head.extend_from_slice(format!("content-length: {len}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(body.map_or(&[], |(bytes, _)| bytes));
        Ok(self.stream().await?.write_all(&head).await?)
    }

    async fn read_head(&mut self) -> Result<Head> {
        let end = loop {
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None if self.buffer.len() > HEAD_LEN_MAX => {
                    bail!("the head of the answer never ends")
                }
                None => self.fill().await?,
            }
        };
        let text = String::from_utf8_lossy(&self.buffer.split_to(end)).into_owned();
        parse_head(text)
    }

    async fn take_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let len = usize::from_str_radix(digits, 16).context("read the length of a chunk")?;
            if len == 0 {
                while !self.take_line().await?.is_empty() {}
                return Ok(body);
            }
            ensure!(body.len() + len <= ANSWER_LEN_MAX, "the answer never ends");
            body.extend_from_slice(&self.take(len).await?);
            self.take_line().await?;
        }
    }

    async fn take_line(&mut self) -> Result<String> {
        let end = loop {
            let end = self.buffer.windows(2).position(|two| two == b"\r\n");
            match end {
                Some(end) => break end,
                None if self.buffer.len() > HEAD_LEN_MAX => {
                    bail!("a line of the answer never ends")
                }
                None => self.fill().await?,
            }
        };
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.advance(end + 2);
        Ok(line)
    }

    async fn take(&mut self, len: usize) -> Result<Vec<u8>> {
        ensure!(len <= ANSWER_LEN_MAX, "the answer has {len} bytes");
        while self.buffer.len() < len {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(len).to_vec())
    }

    async fn fill(&mut self) -> Result<()> {
        self.buffer.reserve(READ_LEN);
        let stream = self.stream.as_mut().context("the connection is closed")?;
        let read = stream.read_buf(&mut self.buffer).await?;
        ensure!(read != 0, "the server closed the connection");
        Ok(())
    }

    async fn stream(&mut self) -> Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            self.buffer.clear();
            self.stream = Some(stream);
        }
        Ok(self.stream.as_mut().expect("it was just opened"))
    }

    fn keep_if(&mut self, is_good: bool) {
        if !is_good {
            self.stream = None;
            self.buffer.clear();
        }
    }
}

fn parse_head(text: String) -> Result<Head> {
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("no answer of HTTP: {text:?}"))?;
    let is_chunked = header(&text, "transfer-encoding").is_some_and(|how| how.contains("chunked"));
    let body = match header(&text, "content-length") {
        _ if is_chunked => Framing::Chunked,
        Some(len) => Framing::Length(len.parse().context("read the length of the answer")?),
        None => Framing::Length(0),
    };
    let closes = header(&text, "connection").is_some_and(|how| how.eq_ignore_ascii_case("close"));
    Ok(Head {
        status,
        text,
        body,
        closes,
    })
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

/// An answer that was not hoped for, in a few words.
pub(crate) fn said(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let short: String = text.chars().take(300).collect();
    format!("status {}: {short}", answer.status)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request of one connection with the next of these, as it is.
    async fn scripted(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1 << 20];
            for answer in answers {
                assert_ne!(stream.read(&mut request).await.unwrap(), 0);
                stream.write_all(&answer).await.unwrap();
            }
        });
        address
    }

    fn file(bytes: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
        [head.as_bytes(), bytes].concat()
    }

    #[tokio::test]
    async fn files_are_compared() {
        let bytes = Content::new(3, 5000).piece().to_vec();
        let mut wrong = bytes.clone();
        wrong[4999] ^= 1;
        let answers = vec![file(&bytes), file(&bytes[..4999])];
        let mut http = Http::new(&scripted(answers).await);
        http.get("/a", Content::new(3, 5000)).await.unwrap();
        let short = http.get("/a", Content::new(3, 5000)).await.unwrap_err();
        assert!(
            short.to_string().contains("5000 bytes were stored"),
            "{short}"
        );
        let mut http = Http::new(&scripted(vec![file(&wrong)]).await);
        let error = http.get("/a", Content::new(3, 5000)).await.unwrap_err();
        assert!(error.is::<WrongBytes>(), "{error}");
        let missing = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_vec();
        let mut http = Http::new(&scripted(vec![missing]).await);
        let error = http.get("/a", Content::new(3, 5000)).await.unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
    }

    #[tokio::test]
    async fn answers_come_with_a_length_or_in_chunks_over_one_connection() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n";
        let created = b"HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nok";
        let gone = b"HTTP/1.1 204 No Content\r\n\r\n";
        let answers = [&chunked[..], &created[..], &gone[..]].map(<[u8]>::to_vec);
        let mut http = Http::new(&scripted(answers.to_vec()).await);
        let answer = http.send("GET", "/", "", None).await.unwrap();
        assert_eq!(answer.body, b"abcde");
        let answer = http.send("POST", "/", "a: b\r\n", None).await.unwrap();
        assert_eq!(
            (answer.status, answer.header("location")),
            (201, Some("/x"))
        );
        assert_eq!(
            http.send("DELETE", "/", "", None).await.unwrap().status,
            204
        );
    }

    #[tokio::test]
    async fn what_was_refused_is_said() {
        let full = b"HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull".to_vec();
        let mut http = Http::new(&scripted(vec![full]).await);
        let error = http.put("/a", Content::new(1, 10)).await.unwrap_err();
        assert_eq!(error.to_string(), "PUT /a: status 507: full");
    }
}
