//! A server that speaks the interface, and is no causal store.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It answers every GET with the first value that the key ever had.
    Stale,
    /// Nothing, but that it loses all its memory at this request. Metadata from before it refuses.
    Forgets(u64),
    /// It answers 500 to everything.
    Broken,
    /// Nothing, but that it refuses all metadata.
    Refuses,
}

#[derive(Debug)]
struct State {
    requests: u64,
    /// Lives of its memory so far; its metadata names the one it is from, if any write does.
    life: u64,
    values: HashMap<String, Vec<Value>>,
}

/// Starts it; it runs until the test process ends.
pub(crate) fn start(fault: Fault) -> SocketAddr {
    start_all([fault])[0]
}

/// Starts several that share one memory.
pub(crate) fn start_all<const COUNT: usize>(faults: [Fault; COUNT]) -> [SocketAddr; COUNT] {
    let state = State {
        requests: 0,
        life: 1,
        values: HashMap::new(),
    };
    let state = Arc::new(Mutex::new(state));
    faults.map(|fault| listen(fault, Arc::clone(&state)))
}

fn listen(fault: Fault, state: Arc<Mutex<State>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || serve(stream, fault, &state));
        }
    });
    address
}

/// One connection, until it ends.
fn serve(stream: TcpStream, fault: Fault, state: &Mutex<State>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (mut length, mut header) = (0, Value::Null);
        loop {
            let mut field = String::new();
            stream.read_line(&mut field)?;
            let Some((name, value)) = field.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "causal-metadata" => header = serde_json::from_str(value)?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let (status, answer) =
            state
                .lock()
                .unwrap()
                .answer(fault, &line, &serde_json::from_slice(&body)?, &header);
        let answer = answer.to_string();
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status} So\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}

impl State {
    fn answer(&mut self, fault: Fault, line: &str, body: &Value, header: &Value) -> (u16, Value) {
        self.requests += 1;
        if fault == Fault::Forgets(self.requests) {
            self.values.clear();
            self.life += 1;
        }
        let seen = [&body["causal-metadata"], header];
        let refused = |life: &&Value| fault == Fault::Refuses || **life != self.life;
        if seen.iter().any(|life| !life.is_null() && refused(life)) {
            return (
                503,
                json!({"error": "Causal dependencies not satisfied; try again later"}),
            );
        }
        let (method, key) = line.split_once(' ').unwrap();
        let versions = self.values.entry(key.to_owned()).or_default();
        let current = match fault {
            Fault::Stale => versions.first(),
            Fault::Forgets(_) | Fault::Refuses => versions.last(),
            Fault::Broken => return (500, json!({})),
        };
        let current = current.filter(|value| !value.is_null()).cloned();
        match (method, current) {
            ("PUT", _) => versions.push(body["value"].clone()),
            ("DELETE", Some(_)) => versions.push(Value::Null),
            (_, Some(value)) => {
                return (200, json!({"value": value, "causal-metadata": self.life}));
            }
            (_, None) => return (404, json!({"causal-metadata": self.life})),
        }
        (200, json!({"causal-metadata": self.life}))
    }
}
