//! Reading, checking and merging cost time in proportion to the document: nobody's document stops the others.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use radl::{Radl, addresses, merge, placement};
use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{Duration, Instant},
};

/// Sizes of a document: eight times as much is to cost about eight times the time, not sixty-four.
const SIZES: [usize; 2] = [1_500, 12_000];
const BOUND: f64 = 24.0;

/// The best of some tries, for others use the machine, too.
fn time(work: &dyn Fn()) -> Duration {
    let once = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..2).map(|_| once()).min().unwrap()
}

/// Everything that is done with a document before its machines are launched.
fn all_that_is_done(text: &str) {
    let radl = Radl::parse(text).unwrap();
    radl.check().unwrap();
    let json = radl.to_json();
    Radl::from_json_value(&json).unwrap();
    assert!(radl.warnings().is_empty() && radl.to_parsable_text().is_ok());
    let added = merge::add_resource(&Radl::default(), &radl, &BTreeMap::new()).unwrap();
    let bound: BTreeMap<String, String> =
        radl.networks.iter().map(|network| (network.id.clone(), "c".to_owned())).collect();
    merge::add_resource(&added.stored, &radl, &bound).unwrap();
    merge::reconfigure(&added.stored, &radl).unwrap();
    let order = ["c", "d"].map(str::to_owned);
    for group in placement::deploy_groups(&radl) {
        placement::choose_provider(&group, &order, &BTreeMap::new()).unwrap();
    }
    let Some(system) = radl.systems.first() else { return };
    let score = placement::score(1.into(), &system.features, &system.features);
    assert!(score >= 0.0);
    let (mut named, mut stripped) = (system.clone(), system.clone());
    named.fill_in_names(1, "vnode-#N#");
    stripped.features.retain(&|name| name.ends_with('1'));
    let [public, private] = ["192.0.2.1", "10.0.0.1"].map(|address| [address.parse().unwrap()]);
    addresses::discovered(&radl, &system.name, &public, &private, "T").public_ip().unwrap();
}

#[test]
fn eight_times_the_document_costs_about_eight_times_the_time() {
    // Without recipes, whose syntax costs more than all the rest.
    let pairs = |n: usize| format!("system s{n} ()\nconfigure s{n} ()\n");
    let items = |n: usize| format!("{}contextualize (system s{n} configure s{n} step 1)\n", pairs(n));
    let joined = |n: usize| {
        let (this, next) = (n, n + 1);
        format!(
            "network n{n} ()\nsystem s{n} (net_interface.0.connection = 'n{this}' and net_interface.1.connection = \
             'n{next}')\ndeploy s{n} 1\n"
        )
    };
    let many = |sentence: &dyn Fn(usize) -> String, count: usize| (0..count).map(sentence).collect::<String>();
    let one_system = |feature: &dyn Fn(usize, &mut String), count: usize| {
        let mut text = "system s (a = 1".to_owned();
        (0..count).for_each(|n| feature(n, &mut text));
        text + ")\ndeploy s 1\n"
    };
    let interfaces = |count: usize| {
        let connect = |n: usize, text: &mut String| {
            write!(text, " and net_interface.{n}.connection = 'n{}'", count - 1 - n).unwrap();
        };
        (0..count).map(|n| format!("network n{n} ()\n")).collect::<String>() + &one_system(&connect, count)
    };
    let applications = |count: usize| {
        let add = |n: usize, text: &mut String| {
            write!(text, " and disk.0.applications contains (name = 'a{n}' and version = '1')").unwrap();
        };
        one_system(&add, count)
    };
    let kinds: [(&str, &dyn Fn(usize) -> String); 5] = [
        ("systems with their recipes", &|count| many(&pairs, count)),
        ("items of recipes", &|count| many(&items, count)),
        ("systems joined by networks", &|count| many(&joined, count) + &format!("network n{count} ()")),
        ("interfaces of a system", &interfaces),
        ("applications of a system", &applications),
    ];
    for (what, document) in kinds {
        let [few, many] = SIZES.map(|size| {
            let text = document(size);
            time(&|| all_that_is_done(&text)).as_secs_f64()
        });
        assert!(many < few * BOUND, "{what}: {few} s and {many} s");
    }
}
