//! Inputs that are mangled by a seeded generator, so that a failure can be had again.

use std::{env, panic};

use fastrand::Rng;

/// What a parser is likely to stumble over.
const WORDS: [&str; 26] = [
    "NaN",
    "inf",
    "-1",
    "1e999",
    "1e-999",
    "18446744073709551616",
    "18446744073709551615",
    "9223372036854775807",
    "-0",
    "N/A",
    "null",
    "\"",
    "\"\"",
    ",",
    ",,,,",
    "\r\n",
    "\n",
    "\0",
    "\u{feff}",
    "{",
    "}",
    "[",
    "]",
    "Aggregated",
    "\u{202e}",
    "=",
];

pub fn mangle(random: &mut Rng, input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..=bytes.len());
        let until = (at + random.usize(0..20)).min(bytes.len());
        match random.u8(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..until, random.choice(WORDS).unwrap().bytes())),
            2 => drop(bytes.splice(at..until, [])),
            3 => {
                let part = bytes[at..until].to_vec();
                bytes.splice(at..at, part.repeat(random.usize(1..50)));
            }
            4 if at < bytes.len() => bytes[at] = random.u8(..),
            _ => bytes.extend_from_slice(&input[at.min(input.len())..]),
        }
    }
    bytes
}

/// Each of so many mangled inputs is read, and if it is refused, on one line. How many were refused.
#[track_caller]
pub fn check(
    what: &str,
    inputs: &[Vec<u8>],
    read: impl Fn(&[u8]) -> anyhow::Result<()> + panic::RefUnwindSafe,
) -> usize {
    let mut refused = 0;
    // More of them by hand: MANGLED=100000 cargo test -p xtask --test it mangled
    let most = env::var("MANGLED").ok().and_then(|most| most.parse().ok()).unwrap_or(1500);
    for seed in 0..most {
        let mut random = Rng::with_seed(seed);
        let input = random.choice(inputs).unwrap();
        let bytes = mangle(&mut random, input);
        let shown = || String::from_utf8_lossy(&bytes).escape_debug().take(2000).collect::<String>();
        let Ok(result) = panic::catch_unwind(|| read(&bytes)) else {
            panic!("{what}, seed {seed}: a panic by {}", shown());
        };
        if let Err(error) = result {
            refused += 1;
            let line = format!("{error:#}");
            assert!(!line.is_empty() && !line.contains('\n'), "{what}, seed {seed}: {line:?} of {}", shown());
        }
    }
    refused
}

/// The same, where some of the inputs are sure to be broken.
#[track_caller]
pub fn check_refuses(
    what: &str,
    inputs: &[Vec<u8>],
    read: impl Fn(&[u8]) -> anyhow::Result<()> + panic::RefUnwindSafe,
) {
    let refused = check(what, inputs, read);
    assert!(refused > 200, "{what}: only {refused} were refused");
}
