//! A service that misbehaves on purpose: `fake-service --port N --mode MODE,...`. Its process id goes to
//! `$PIDS/service`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs, process, thread};

#[expect(clippy::zombie_processes, reason = "the child is meant to be left to its process group")]
fn main() {
    let args: Vec<String> = env::args().collect();
    let value = |flag: &str| args.iter().position(|arg| arg == flag).map(|at| args[at + 1].clone());
    if let Some(child) = value("--child") {
        work(&child);
    }
    let port: u16 = value("--port").expect("--port").parse().expect("a port");
    let mode = value("--mode").unwrap_or_default();
    note_pid("service", process::id());
    let has = |wanted: &str| mode.split(',').any(|mode| mode == wanted);
    if has("forks-child") {
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        note_pid("service-child", child.id());
    }
    if has("works") {
        thread::spawn(|| work("service-working"));
        wait_for("service-working");
    }
    if has("preforked") {
        for child in ["service-child", "service-child-2"] {
            let program = env::current_exe().expect("a path");
            Command::new(program).args(["--child", child]).spawn().expect("a child");
            wait_for(child);
        }
    }
    if has("dies-before-ready") {
        eprintln!("no database");
        exit(3)
    }
    if has("ignores-sigterm") || has("notes-sigterm") {
        note_sigterm(has("notes-sigterm"));
    }
    let host = match mode.as_str() {
        _ if has("ipv6") => "::1",
        _ if has("everywhere") => "0.0.0.0",
        _ => "127.0.0.1",
    };
    let listener = TcpListener::bind((host, port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        answer(stream, &mode);
    }
}

/// Holds 50 MB, and takes all the CPU time that it gets. That it does so is noted under this name.
fn work(name: &str) -> ! {
    let mut held = vec![1_u8; 50_000_000];
    note_pid(name, process::id());
    loop {
        for byte in &mut held {
            *byte = byte.wrapping_mul(3);
        }
    }
}

/// Notes the signal in `$PIDS/sigterm`, and ends or goes on.
fn note_sigterm(ends: bool) {
    let is_asked_to_end = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(15, Arc::clone(&is_asked_to_end)).expect("SIGTERM can be caught");
    thread::spawn(move || {
        while !is_asked_to_end.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        let folder = env::var("PIDS").expect("PIDS");
        fs::write(format!("{folder}/sigterm"), "caught").expect("PIDS is a folder");
        if ends {
            exit(0);
        }
    });
}

fn note_pid(name: &str, pid: u32) {
    let folder = env::var("PIDS").expect("PIDS");
    fs::write(format!("{folder}/{name}"), pid.to_string()).expect("PIDS is a folder");
}

/// Waits for a note.
fn wait_for(name: &str) {
    let folder = env::var("PIDS").expect("PIDS");
    while !Path::new(&folder).join(name).exists() {
        thread::sleep(Duration::from_millis(5));
    }
}

fn answer(mut stream: TcpStream, mode: &str) {
    let mut request = [0; 1024];
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = stream.read(&mut request);
    let has = |wanted: &str| mode.split(',').any(|mode| mode == wanted);
    if has("never-answers") {
        thread::sleep(Duration::from_secs(600));
    }
    if let Some(ms) = mode.split(',').find_map(|mode| mode.strip_prefix("takes:")) {
        thread::sleep(Duration::from_millis(ms.parse().expect("a number of milliseconds")));
    }
    while has("drips") && stream.write_all(b"H").is_ok() {
        thread::sleep(Duration::from_millis(50));
    }
    while has("never-ends") && stream.write_all(&[b'H'; 4096]).is_ok() {}
    let elsewhere = mode.split(',').find_map(|mode| mode.strip_prefix("redirects-to:"));
    let status = match elsewhere {
        Some(host) => format!("302 Found\r\nLocation: http://{host}/"),
        None if has("never-ready") => "503 Service Unavailable".to_owned(),
        None if has("redirects") => "302 Found\r\nLocation: /elsewhere".to_owned(),
        None => "200 OK".to_owned(),
    };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    drop(stream);
    if has("dies-during-load") {
        // The load has begun when Locust has noted its process id, and its worker's.
        wait_for(if env::var_os("FAKE_WORKERS").is_some() { "locust-worker" } else { "locust" });
        eprintln!("out of memory");
        exit(4);
    }
}
