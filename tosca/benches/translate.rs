//! How long a document takes to be read and translated: `cargo bench -p tosca --bench translate -- FILE...` prints for each
//! file the number of its systems and the median of the milliseconds, files of one play standing at every address.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;
use tosca::{Fetched, Situation, Surroundings, Template};

/// How often each document is translated.
const RUNS: usize = 50;

fn main() {
    let sources = |_: &str| Fetched::Text("- tasks: [ { debug: { msg: x } } ]".to_owned());
    let random = |length| "r".repeat(length);
    let surroundings =
        Surroundings { sources: &sources, template_repository: None, access_token: None, random: &random };
    for file in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut systems = 0;
        let mut times: Vec<f64> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                let template = Template::parse(&text, &surroundings).unwrap();
                let translation =
                    template.translate(&Situation { machines: &[], surroundings: &surroundings }).unwrap();
                let took = start.elapsed();
                systems = translation.radl.systems.len();
                took.as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{file} {systems} {:.3}", times[RUNS / 2]);
    }
}
