//! The one program of the test image. Compiled by itself, for the inside of containers.

use std::ffi::c_int;
use std::io::{copy, sink, stdin, stdout, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

extern "C" {
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
}

const SIGTERM: c_int = 15;
static ASKED_TO_STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_term(_: c_int) {
    ASKED_TO_STOP.store(true, Ordering::SeqCst);
}

/// Runs until SIGTERM, then for `after` more.
fn serve(after: Duration) {
    // SAFETY: the handler only stores to an atomic.
    unsafe { signal(SIGTERM, on_term) };
    println!("ready");
    while !ASKED_TO_STOP.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(5));
    }
    println!("asked to stop");
    sleep(after);
}

fn main() {
    let mut args: Vec<String> = std::env::args().collect();
    if args[0].ends_with("sh") {
        args = args[2].split_whitespace().map(String::from).collect();
    }
    let arg = |n: usize| args.get(n).cloned().unwrap_or_default();
    let number = |n: usize| arg(n).parse::<u64>().expect("a number");
    match arg(1).as_str() {
        "graceful" => serve(Duration::ZERO),
        "slow" => serve(Duration::from_millis(number(2))),
        // As process 1 it does not see a SIGTERM that it has no handler for.
        "stubborn" => loop {
            sleep(Duration::from_secs(3600));
        },
        "exit" => {
            eprintln!("{}", arg(3));
            std::process::exit(number(2) as i32);
        }
        "exists" => std::process::exit(!std::path::Path::new(&arg(2)).exists() as i32),
        "write" => std::fs::write(arg(2), arg(3)).expect("write"),
        "env" => print!("{}", std::env::var(arg(2)).unwrap_or_default()),
        "cat" => {
            copy(&mut stdin().lock(), &mut stdout().lock()).expect("copy");
        }
        "count" => print!("{}", copy(&mut stdin().lock(), &mut sink()).expect("count")),
        "head" => {
            copy(&mut stdin().lock().take(number(2)), &mut stdout().lock()).expect("head");
        }
        "spew" => {
            let block: Vec<u8> = (0..=255).cycle().take(1 << 16).collect();
            let mut left = number(2) as usize;
            while left > 0 {
                let part = left.min(block.len());
                stdout().write_all(&block[..part]).expect("spew");
                left -= part;
            }
        }
        other => panic!("unknown: {other}"),
    }
}
