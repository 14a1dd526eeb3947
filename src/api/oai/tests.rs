#![allow(clippy::unwrap_used)]
use super::{
    answer::{Identity, answer},
    request::read,
};
use crate::templates::repository::Entry;

const BASE: &str = "https://github.com/o/r/blob/main/templates/";

fn entry(name: &str, metadata: &[(&str, &str)]) -> Entry {
    let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
    Entry { name: name.to_owned(), metadata }
}

fn asked(arguments: &str, entries: &[Entry]) -> String {
    let identity = Identity {
        name: "Templates & more",
        description: "All of them",
        email: "admin@example.org",
        base_url: "https://im.example.org/oai",
        repository: BASE,
    };
    answer(read(arguments), &identity, entries, "2026-01-02T03:04:05Z").document().unwrap()
}

fn templates() -> Vec<Entry> {
    vec![
        entry("a.yaml", &[("display_name", "A <b>\u{1}"), ("creation_date", "2021-02-03"), ("tag", "x")]),
        entry("more/b.yaml", &[("template_author", "Somebody"), ("creation_date", "soon")]),
    ]
}

#[test]
fn errors_come_in_the_order_of_the_protocol() {
    let id = format!("{BASE}a.yaml");
    let cases = [
        ("", "badVerb"),
        ("verb=List", "badVerb"),
        ("verb=Identify&verb=Identify", "badVerb"),
        ("verb=Identify&from=2020-01-01", "badArgument"),
        ("verb=ListRecords&what=1", "badArgument"),
        ("verb=ListRecords", "badArgument"),
        ("verb=ListRecords&metadataPrefix=oai_dc&metadataPrefix=oai_dc", "badArgument"),
        ("verb=ListRecords&metadataPrefix=oai_dc&from=2020-1-1", "badArgument"),
        ("verb=ListRecords&metadataPrefix=x&until=2020-02-30", "badArgument"),
        ("verb=ListRecords&metadataPrefix=oai_dc&from=2020-01-02&until=2020-01-01", "badArgument"),
        ("verb=ListRecords&resumptionToken=x&set=y", "badResumptionToken"),
        ("verb=ListIdentifiers&set=y", "noSetHierarchy"),
        ("verb=ListIdentifiers&metadataPrefix=x", "cannotDisseminateFormat"),
        ("verb=ListIdentifiers&metadataPrefix=oai_dc&from=2030-01-01", "noRecordsMatch"),
        ("verb=ListSets", "noSetHierarchy"),
        ("verb=GetRecord&identifier=x", "badArgument"),
        ("verb=GetRecord&identifier=x&metadataPrefix=oai_dc", "idDoesNotExist"),
        (&format!("verb=GetRecord&identifier={id}&metadataPrefix=x"), "cannotDisseminateFormat"),
        ("verb=ListMetadataFormats&identifier=x", "idDoesNotExist"),
    ];
    for (arguments, code) in cases {
        let text = asked(arguments, &templates());
        assert!(text.contains(&format!("<error code=\"{code}\">")), "{arguments}: {text}");
        let is_plain = text.contains("<request>https://im.example.org/oai</request>");
        assert_eq!(is_plain, matches!(code, "badVerb" | "badArgument"), "{arguments}: {text}");
    }
}

#[test]
fn records_have_their_templates_metadata_in_each_format() {
    let listed = asked("verb=ListRecords&metadataPrefix=oai_dc&until=2021-02-03", &templates());
    for part in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
        "<request verb=\"ListRecords\" metadataPrefix=\"oai_dc\" until=\"2021-02-03\">",
        "<dc:title>A &lt;b&gt;</dc:title>",
        "<datestamp>2021-02-03</datestamp>",
        "<datestamp>2000-01-01</datestamp>",
        "<dc:subject>x</dc:subject>",
        "<dc:rights>openaccess</dc:rights>",
    ] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let get = |prefix: &str, name: &str| {
        asked(
            &format!(
                "verb=GetRecord&metadataPrefix={prefix}&identifier={}",
                format!("{BASE}{name}").replace(':', "%3A")
            ),
            &templates(),
        )
    };
    let datacite = get("oai_datacite", "more/b.yaml");
    assert!(datacite.contains("<datacite:creatorName>Somebody</datacite:creatorName>"), "{datacite}");
    assert!(
        datacite.contains(&format!("<datacite:identifier identifierType=\"URN\">{BASE}more/b.yaml<")),
        "{datacite}"
    );
    let openaire = get("oai_openaire", "a.yaml");
    assert!(
        openaire.contains("rightsURI=\"http://purl.org/coar/access_right/c_abf2\"") && !openaire.contains("subject")
    );
    let identify = asked("verb=Identify", &[]);
    assert!(identify.contains("<repositoryName>Templates &amp; more</repositoryName>"), "{identify}");
    assert!(identify.find("adminEmail") < identify.find("earliestDatestamp"), "{identify}");
}

#[test]
fn long_lists_come_in_pages_that_a_change_ends() {
    let mut entries: Vec<Entry> = (0..250).map(|number| entry(&format!("{number:03}.yaml"), &[("tag", "x")])).collect();
    let token = |text: &str| {
        let (_, rest) = text.split_once("<resumptionToken").unwrap();
        rest.split_once('>').and_then(|(_, rest)| rest.split_once('<')).map(|(token, _)| token.trim().to_owned())
    };
    let mut text = asked("verb=ListIdentifiers&metadataPrefix=oai_dc", &entries);
    let mut sizes = vec![text.matches("<header>").count()];
    let first = token(&text).unwrap();
    for cursor in [100, 200] {
        let next = token(&text).unwrap();
        text = asked(&format!("verb=ListIdentifiers&resumptionToken={next}"), &entries);
        assert!(text.contains(&format!("completeListSize=\"250\" cursor=\"{cursor}\"")), "{text}");
        sizes.push(text.matches("<header>").count());
    }
    assert_eq!(sizes, [100, 100, 50]);
    assert!(text.contains("cursor=\"200\"/>"), "the last page has no token: {text}");
    let both = asked(&format!("verb=ListIdentifiers&metadataPrefix=oai_dc&resumptionToken={first}"), &entries);
    assert!(both.contains("badArgument"), "{both}");
    entries.pop();
    let changed = asked(&format!("verb=ListIdentifiers&resumptionToken={first}"), &entries);
    assert!(changed.contains("badResumptionToken"), "{changed}");
}
