//! What an error tells: the place, what was found and expected, what the slip probably is; and never a text that may be a
//! secret.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use radl::{Radl, RadlError, merge};
use std::collections::BTreeMap;

/// Why a document is refused, when it is parsed or checked.
fn error(text: &str) -> RadlError {
    match Radl::parse(text) {
        Err(error) => error,
        Ok(radl) => radl.check().expect_err(text).located_in(text),
    }
}

#[test]
fn syntax_errors_tell_place_kind_expectation_and_hint() {
    let in_system = |body: &str| format!("system s (\n  {body}\n)");
    for (text, said) in [
        (
            in_system("spot = yes"),
            "Line 2: Parse error in: column 10: found a word, expected a number, a string or a list; strings stand in single quotes: 'text'",
        ),
        (
            in_system("a = 'linux' and disk.0.os.name = \"linux\""),
            "Line 2: Parse error in: column 36: found the character '\"', expected a number, a string or a list; strings stand in single quotes: 'text'",
        ),
        (
            in_system("a = ‘x’"),
            "Line 2: Parse error in: column 7: found the character '‘', expected a number, a string or a list; strings stand in straight single quotes: 'text'",
        ),
        (
            in_system("a = 1 and"),
            "Line 3: Parse error in: column 1: found ')', expected a feature; 'and' stands between two features, not behind the last one",
        ),
        (
            in_system("a = 1 and and b = 2"),
            "Line 2: Parse error in: column 13: found 'and', expected a feature; 'and' stands twice",
        ),
        (
            in_system("a = 'x'\n  b = 'y'"),
            "Line 3: Parse error in: column 3: found a word, expected 'and' or ')'; 'and' stands between features; a quote inside a string is written \\'",
        ),
        (
            in_system("a = ['x']\n  b = 'y'"),
            "Line 3: Parse error in: column 3: found a word, expected 'and' or ')'; 'and' stands between features",
        ),
        (
            in_system("a = 1\n  b >= 2"),
            "Line 3: Parse error in: column 5: found '>=', expected 'and' or ')'; the word in front was taken for the unit of a number: 'and' is missing in front of it",
        ),
        (
            in_system("a = 1, b = 2"),
            "Line 2: Parse error in: column 8: found ',', expected 'and' or ')'; features are joined by 'and'",
        ),
        (
            in_system("a = ['x',]"),
            "Line 2: Parse error in: column 12: found ']', expected a string; no comma stands behind the last element of a list",
        ),
        (in_system("a contains 'x'"), "Line 2: Parse error in: column 14: found a string, expected '('"),
        (
            in_system("a 'x'"),
            "Line 2: Parse error in: column 5: found a string, expected one of =, <, <=, >, >=; a feature is written NAME = VALUE",
        ),
        (
            in_system("soft (a = 1)"),
            "Line 2: Parse error in: column 8: found '(', expected a number; soft groups are written soft WEIGHT ( features )",
        ),
        (
            "network n (outbound = 'no'\nsystem s ()".to_owned(),
            "Line 2: Parse error in: column 1: found 'system', expected 'and' or ')'; the ')' is missing that closes the '(' of line 1",
        ),
        (
            "system s ()\n)".to_owned(),
            "Line 2: Parse error in: column 1: found ')', expected a sentence: network, system, ansible, configure, contextualize or deploy; there is no '(' that it closes",
        ),
        (
            "system 1 ()".to_owned(),
            "Line 1: Parse error in: column 8: found a number, expected a name; a name begins with a letter, _ or .",
        ),
        (
            "configure c (\n- a: 1\n)".to_owned(),
            "Line 2: Parse error in: column 1: found the character '-', expected '@begin' or ')'; a recipe stands on the lines between @begin and @end",
        ),
        (
            "contextualize (\nsystem s step 1\n)".to_owned(),
            "Line 2: Parse error in: column 10: found 'step', expected 'configure'",
        ),
        (
            "contextualize (\nsystem s configure c\noption o = 1\n)".to_owned(),
            "Line 3: Parse error in: column 1: found 'option', expected 'system' or ')'; the options stand before the systems",
        ),
        (
            "[\n  {\"class\": \"system\", \"id\": \"s\"}\n]".to_owned(),
            "Line 1: Parse error in: column 1: found the character '[', expected a sentence: network, system, ansible, configure, contextualize or deploy; this looks like JSON: the JSON form of RADL is sent as application/json",
        ),
        (
            "---\ntosca_definitions_version: tosca_simple_yaml_1_0\n".to_owned(),
            "Line 1: Parse error in: column 1: found the character '-', expected a sentence: network, system, ansible, configure, contextualize or deploy; this looks like TOSCA, not like RADL",
        ),
    ] {
        assert_eq!(error(&text).explained(), said, "{text}");
        assert_eq!(error(&text).message(), said, "the column stands in the text");
    }
}

#[test]
fn what_clients_know_by_heart_stays_and_the_rest_follows_it() {
    let network = |outports: &str| format!("network n (outbound = 'yes' and\n outports = '{outports}')");
    let outports = "Line 2: Invalid value in property 'outports'";
    let disks = "Invalid indices values in properties 'disk'";
    for (text, message, rest) in [
        (
            "system s (\n a = 1",
            "Parse error in: None",
            " (line 2, column 7: the document ends here, expected 'and' or ')'; the ')' is missing that closes the '(' of line 1)",
        ),
        (
            "description d (name = 'x')",
            "Parse error in: None",
            " (line 1, column 27: the document ends here, expected a sentence: network, system, ansible, configure, contextualize or deploy; a description alone is no document)",
        ),
        (
            "system s ()\nconfigure c (\n@begin\n- a: 1\n  @end\n)",
            "Parse error in: None",
            " (line 6, column 2: the document ends here, expected '@end'; it stands at the beginning of a line, without the blanks of line 5)",
        ),
        (
            "deploy s -2",
            "Line 1: Illegal character '-'",
            " (column 10: numbers have no sign, and no name begins with it)",
        ),
        (
            "system s (a = 'x)",
            "Line 1: The string that begins here has no closing quote",
            " (column 15: a quote is missing here or earlier; inside a string it is written \\')",
        ),
        (
            "network n ()\nnetwork n ()",
            "Aspect with the same id was found.",
            " (line 2, column 1: the document has another network of this id)",
        ),
        (
            "system s (memory.size = 'two')",
            "Line 1: Invalid type; expected <class 'int'>",
            " (column 11: the value of memory.size has to be a whole number)",
        ),
        (
            "system s (cpu.count = 'two')",
            "Line 1: Invalid type; expected a number",
            " (column 11: the value of cpu.count has to be a number)",
        ),
        (
            "system s (disk.0.image.url = 1)",
            "Line 1: Invalid type; expected a text or a list of texts",
            " (column 11: the value of disk.0.image.url has to be a text in single quotes, or a list of such)",
        ),
        (
            "system s (disk.0.os.credentials.new.password = 'weak')",
            "Line 1: Invalid value in property 'disk.0.os.credentials.new.password'",
            " (column 11: it needs 7 characters at least, among them a capital letter, a digit and one that is neither letter nor digit)",
        ),
        (
            "\nsystem s (disk.0.size = 1G and disk.1.size = 1G and disk.4.size = 1G)",
            disks,
            " (line 2: they count from 0 without a gap; 2 is missing in 0, 1, 4)",
        ),
        ("system s (disk.1.size = 1G)", disks, " (line 1: they count from 0 without a gap; 0 is missing in 1)"),
        (
            "system s (net_interface.0.ip = '10.0.0.1')",
            "Some net_interface does not have a connection",
            " (line 1: net_interface.0.connection has to name a network)",
        ),
        (
            "system s (net_interface.0.connection = 'n')",
            "Line 1: Invalid value in property 'net_interface.0.connection'",
            " (column 11: the document has no network of this id)",
        ),
        (
            &network("22,80-"),
            outports,
            " (column 2: rule 2 of the list: a port is a number from 0 to 65535, or a range of them as 9000:9100)",
        ),
        (
            &network("99999"),
            outports,
            " (column 2: rule 1 of the list: a port is a number from 0 to 65535, or a range of them as 9000:9100)",
        ),
        (&network("22, 80"), outports, " (column 2: rule 2 of the list: no blanks may stand in it)"),
        (&network("22,,80"), outports, " (column 2: rule 2 of the list: it is empty)"),
        (
            &network("22/tcp-22/udp"),
            outports,
            " (column 2: rule 1 of the list: both sides of a mapping have to name the same protocol)",
        ),
        (&network("1,2,9:8"), outports, " (column 2: rule 3 of the list: the range ends before it begins)"),
        (
            &network("10.0.0.0/99-22"),
            outports,
            " (column 2: rule 1 of the list: the addresses in front are an IPv4 range as 10.0.0.0/8)",
        ),
    ] {
        let error = error(text);
        assert_eq!(error.message(), message, "{text}");
        assert_eq!(error.explained(), format!("{message}{rest}"), "{text}");
    }
    let json = |text: &str| Radl::from_json(text).and_then(|radl| radl.check()).unwrap_err().explained();
    assert_eq!(
        json(r#"[{"class": "system", "id": "s", "cpu.count": -1}]"#),
        "Invalid value in property 'cpu.count' (system s: a number from 0 is expected)"
    );
    assert_eq!(
        json(r#"[{"class": "system", "id": "s"}, {"class": "system", "id": "s"}]"#),
        "Aspect with the same id was found. (system s: the document has another system of this id)"
    );
    assert_eq!(
        json(r#"[{"class": "system", "id": "s", "disk.0.size": null}]"#),
        "The feature 'disk.0.size' cannot be null; write a text or a number (system s)"
    );
}

/// An addition is told what it only has to refer to, and never the lines of a document that it is not.
#[test]
fn additions_are_told_what_the_infrastructure_has() {
    let stored = Radl::parse(
        "description d (name = 'x')\n\n\nansible a (host = 'h' and credentials.username = 'u' and credentials.password = 'p')\n\
         network net ()\nsystem s (net_interface.0.connection = 'net')\nsystem t (ansible_host = 'a')\nconfigure c ()",
    )
    .unwrap();
    let add = |text: &str| merge::add_resource(&stored, &Radl::parse(text).unwrap(), &BTreeMap::new()).unwrap_err();
    let refer = |what: &str| format!("the infrastructure has it: refer to it with '{what}' in this document");
    for (text, said) in [
        ("\ndeploy s 1", format!("Line 2: Invalid system id in the deploy. ({})", refer("system s"))),
        ("system s\ndeploy s 1", format!("Invalid value in property 'net_interface.0.connection' (system s, as the infrastructure has it: {})", refer("network net"))),
        ("system t\ndeploy t 1", "Invalid value in property 'ansible_host' (system t, as the infrastructure has it: write the definition of ansible a into this document, too)".to_owned()),
        ("system n (net_interface.0.connection = 'net')", format!("Line 1: Invalid value in property 'net_interface.0.connection' ({})", refer("network net"))),
        ("system n ()\ncontextualize (system n configure c)", format!("Line 2: Invalid configure id 'c' ({})", refer("configure c"))),
        ("system n ()\ncontextualize (system s configure c)", format!("Line 2: Invalid system id 's' ({})", refer("system s"))),
        ("system n ()\ndeploy m 1", "Line 2: Invalid system id in the deploy.".to_owned()),
        ("\nsystem m", "Unknown reference in RADL to <class 'radl.radl.system'> 'm' (line 2: the infrastructure has no system of this id: define it with a body in parentheses)".to_owned()),
    ] {
        assert_eq!(add(text).explained(), said, "{text}");
    }
    // What the stored document tells of clouds holds no name of ours.
    let bound = BTreeMap::from([("net".to_owned(), "one".to_owned())]);
    let added = Radl::parse("network net\nsystem s\ndeploy s 1 two").unwrap();
    let completed = merge::add_resource(&stored, &added, &bound).unwrap().completed;
    let groups: Vec<_> = radl::placement::deploy_groups(&completed).collect();
    let order = ["one", "two"].map(str::to_owned);
    let error = radl::placement::choose_provider(&groups[0], &order, &BTreeMap::new()).unwrap_err().explained();
    assert!(
        error.ends_with("different cloud providers: s (a private network that they are on is in one already)"),
        "{error}"
    );
}

/// Wherever in a document a secret lands, because a quote was forgotten or doubled or a word is out of place: errors and
/// warnings do not repeat it. Only ids in their own place are named.
#[test]
fn secrets_are_not_repeated() {
    const SECRET: &str = "S3cretH0rse";
    let document = "description d ( name = 'x' )\nansible a ( host = 'h' and credentials.username = 'u' and credentials.password = 'p' )\n\
        network n ( outbound = 'yes' and outports = '22' and provider_id = 'x' )\n\
        system s ( cpu.count >= 1 and memory.size = 2G and disk.0.os.name = 'linux' and spot = 'no' and\n\
        net_interface.0.connection = 'n' and soft 3 ( price = 0.1 ) and\n\
        disk.0.applications contains ( name = 'app' and version = '1' ) and x = [ 'a' , 'b' ] and\n\
        disk.0.os.credentials.new.password = 'Good-1234' )\n\
        configure c (\n@begin\n- tasks: []\n@end\n)\ncontextualize 10 ( option o = 'v' system s configure c step 1 )\ndeploy s 1 cloud\n";
    Radl::parse(document).unwrap().check().unwrap();
    let words: Vec<&str> = document.split_inclusive([' ', '\n']).collect();
    let (mut refused, mut accepted) = (0, 0);
    for at in 0..words.len() {
        let (word, blank) = words[at].split_at(words[at].len() - 1);
        let item =
            (3..).take_while(|back| at >= *back).find(|back| words[at - back].starts_with("contextualize")).is_some();
        for put in [
            SECRET.to_owned(),
            format!("'{SECRET}"),
            format!("{SECRET}'"),
            format!("\"{SECRET}\""),
            format!("{word} {SECRET}"),
            format!("'{SECRET}'"),
            format!("{word} 77{SECRET}"),
        ] {
            let text = [&words[..at].concat(), put.as_str(), blank, &words[at + 1..].concat()].concat();
            let told = match Radl::parse(&text).map_err(|error| error.explained()) {
                Err(told) => told,
                Ok(radl) => {
                    let warnings = radl.warnings().join("\n");
                    assert!(!warnings.contains("H0rse"), "{warnings}");
                    match radl.check() {
                        Ok(()) => {
                            accepted += 1;
                            continue;
                        }
                        Err(error) => error.located_in(&text).explained(),
                    }
                }
            };
            refused += 1;
            let is_id = item && ["Invalid system id", "Invalid configure id"].iter().any(|words| told.contains(words));
            assert!(is_id || !told.contains("H0rse"), "{text}\n{told}");
        }
    }
    assert!(refused > 500 && accepted > 30, "{refused} {accepted}");
    for json in [
        format!(r#"[{{"class": "{SECRET}", "id": "x"}}]"#),
        format!(r#"[{{"class": "system", "id": "a {SECRET}"}}]"#),
        format!(r#"[{{"class": "system", "id": "x", "a {SECRET}": 1}}]"#),
        format!(r#"[{{"class": "system", "id": "x", "password": "{SECRET}" "y"}}]"#),
        format!(r#"[{{"class": "deploy", "system": "x", "vm_number": "{SECRET}"}}]"#),
        format!(r#"[{{"class": "system", "id": "x", "reference": "{SECRET}"}}]"#),
    ] {
        let told = Radl::from_json(&json).and_then(|radl| radl.check()).unwrap_err().explained();
        assert!(!told.contains("H0rse"), "{told}");
    }
    for body in [
        "credentials.password = 1234 and credentials.password = 5678",
        "a contains (name = 'x' and token = 'H0rse') and a = 'x'",
        "passphrase = 'H0rse' and passphrase = 'other'",
        "key = 77889900112233445566778899",
    ] {
        let told = error(&format!("system s ({body})")).explained();
        assert!(["H0rse", "1234", "5678", "7788"].iter().all(|secret| !told.contains(secret)), "{told}");
    }
}
