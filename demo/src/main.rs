//! A small HTTP service about insurance claims, made to be measured.
//!
//! Its response times are drawn from fixed distributions, so that two runs of a
//! load test agree closely, and environment variables make it slow, fail or
//! stop answering on purpose. See `demo --help`.

mod api;
mod claims;
mod endpoint;
mod http;
mod pace;
mod settings;
mod stalls;

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use api::Service;
use http::ReadError;
use pace::Pace;
use stalls::Stalls;

const HELP: &str = "\
A small insurance-claims HTTP service with repeatable response times.

Usage: demo [--port N]

Options:
  --port N  TCP port on 127.0.0.1 (default 8080; 0 picks a free one)
  --help    show this text

Environment (read once at start; an empty value counts as unset):
  DEMO_SLOWDOWN_PCT   make every response this many percent slower (default 0)
  DEMO_ERROR_PCT      answer this percentage of requests with 500, except
                      GET /health (default 0)
  DEMO_LOST_PCT       never answer this percentage of requests, except
                      GET /health (default 0); DEMO_ERROR_PCT is then a
                      percentage of the others
  DEMO_SLOW_ENDPOINT  make only this endpoint slower, e.g. \"GET /dashboard\"
  DEMO_SLOW_FACTOR    how many times slower that endpoint is (default 3)
  DEMO_FREEZE         freeze everything, GET /health too, for this long at the
                      end of each period: with 2/10, what is due in seconds 8
                      to 10, 18 to 20 and so on is answered when they are over;
                      seconds count from the first request but GET /health
  DEMO_HANG_AFTER_S   from this many seconds after the first request but GET
                      /health on, answer no request but GET /health (default:
                      never)
";

const DEFAULT_PORT: u16 = 8080;

/// Bounds the memory that threads can take; far above what a load test opens.
const MAX_CONNECTIONS: usize = 1024;

/// The handlers are shallow, so the default of 2 MiB would be wasted.
const STACK_BYTES: usize = 256 * 1024;

/// Frees the thread of a client that vanished without closing its connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Keeps a failing `accept` (such as no file descriptors left) from spinning.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(10);

enum Command {
    Help,
    Serve { port: u16 },
}

fn main() -> ExitCode {
    let port = match parse_args(pico_args::Arguments::from_env()) {
        Ok(Command::Serve { port }) => port,
        Ok(Command::Help) => {
            announce(HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => return fail(2, &message),
    };
    let service = match service() {
        Ok(service) => service,
        Err(message) => return fail(2, &message),
    };
    match listen(port) {
        Ok(listener) => accept_forever(&listener, &Arc::new(service)),
        Err(message) => fail(1, &message),
    }
}

fn parse_args(mut args: pico_args::Arguments) -> Result<Command, String> {
    if args.contains(["-h", "--help"]) {
        return Ok(Command::Help);
    }
    let port = args.opt_value_from_str("--port").map_err(|error| format!("--port: {error}"))?.unwrap_or(DEFAULT_PORT);
    match args.finish().first() {
        None => Ok(Command::Serve { port }),
        Some(extra) => Err(format!("unknown argument {:?} (see --help)", extra.to_string_lossy())),
    }
}

/// The service as the environment asks for it.
fn service() -> Result<Service, String> {
    let lookup = |name: &str| std::env::var_os(name);
    Ok(Service::new(Pace::from_lookup(lookup)?, Stalls::from_lookup(lookup)?))
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("demo: {message}");
    ExitCode::from(code)
}

/// Prints without panicking when nobody reads standard output any more.
fn announce(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

fn listen(port: u16) -> Result<TcpListener, String> {
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} on 127.0.0.1 is already in use; choose another with --port")
        }
        _ => format!("cannot listen on 127.0.0.1:{port}: {error}"),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(explain)?;
    let address = listener.local_addr().map_err(explain)?;
    announce(&format!("demo: listening on http://{address}\n"));
    Ok(listener)
}

/// Gives every connection a thread of its own. A request then never waits for
/// another one, so the measured latency is the intended one and not a queue.
fn accept_forever(listener: &TcpListener, service: &Arc<Service>) -> ! {
    let open_connections = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(ACCEPT_RETRY_DELAY);
            continue;
        };
        if open_connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        open_connections.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(&open_connections));
        let service = Arc::clone(service);
        let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _slot = slot;
            // A failed read or write means that the client has gone.
            let _ = serve(&stream, &service);
        });
        if let Err(error) = spawned {
            eprintln!("demo: dropped a connection, no thread for it: {error}");
        }
    }
}

/// One open connection; dropping it, even in a panic, gives its place back.
struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers the requests of one connection, in order, until the client leaves.
fn serve(mut stream: &TcpStream, service: &Service) -> io::Result<()> {
    // Nagle's algorithm against delayed acknowledgements would add 40 ms.
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = match http::read_request(&mut reader) {
            Ok(request) => request,
            Err(ReadError::Closed) => return Ok(()),
            Err(ReadError::Refused(response)) => {
                return stream.write_all(&response.to_bytes(false, false));
            }
        };
        let received = Instant::now();
        let Some((response, departure)) = service.answer(&request, received) else {
            return stay_silent(stream);
        };
        // Sleeping up to a deadline keeps the time spent on the answer itself
        // from adding to the delay. The operating system wakes a sleeping
        // thread within about 0.1 ms, which is small next to every delay here,
        // and unlike spinning it leaves the processors to the load generator.
        thread::sleep(departure.saturating_duration_since(Instant::now()));
        let head_only = request.method == "HEAD";
        stream.write_all(&response.to_bytes(request.keep_alive, head_only))?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

/// Keeps a connection open, without an answer, until the client closes it. That
/// the client has is only seen by reading, so whatever else it sends is read.
fn stay_silent(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(None)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Command, String> {
        let args = args.iter().map(Into::into).collect();
        parse_args(pico_args::Arguments::from_vec(args))
    }

    #[test]
    fn arguments_are_read() {
        assert!(matches!(parse(&[]), Ok(Command::Serve { port: 8080 })));
        assert!(matches!(parse(&["--port", "9000"]), Ok(Command::Serve { port: 9000 })));
        assert!(matches!(parse(&["--help"]), Ok(Command::Help)));
    }

    #[test]
    fn bad_arguments_are_one_line() {
        for args in
            [&["--prot", "1"][..], &["extra"], &["--port"], &["--port", "70000"], &["--port", "1", "--port", "2"]]
        {
            let message = parse(args).err().expect("must be refused");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
