//! A template in each of the formats of metadata: pure. Which key becomes which element is in docs/spec/api.md 6.6.

use super::xml::Element;
use crate::templates::repository::Entry;

/// A format: its prefix, schema, namespace, and the name of a record's root.
pub(super) struct Format {
    pub(super) prefix: &'static str,
    pub(super) schema: &'static str,
    pub(super) namespace: &'static str,
    root: (&'static str, &'static str),
    element: fn(&str, &str) -> Option<Element>,
}

const DC: &str = "http://purl.org/dc/elements/1.1/";
const DATACITE: &str = "http://datacite.org/schema/kernel-4";
const OAIRE: &str = "http://namespace.openaire.eu/schema/oaire/";

/// The formats.
pub(super) const FORMATS: [Format; 3] = [
    Format {
        prefix: "oai_dc",
        schema: "http://www.openarchives.org/OAI/2.0/oai_dc.xsd",
        namespace: "http://www.openarchives.org/OAI/2.0/oai_dc/",
        root: ("oai_dc", "dc"),
        element: dublin_core,
    },
    Format {
        prefix: "oai_openaire",
        schema: "https://www.openaire.eu/schema/1.0/oaf-1.0.xsd",
        namespace: OAIRE,
        root: ("oaire", "resource"),
        element: openaire,
    },
    Format {
        prefix: "oai_datacite",
        schema: "https://schema.datacite.org/meta/kernel-4.3/metadata.xsd",
        namespace: DATACITE,
        root: ("datacite", "resource"),
        element: datacite,
    },
];

/// The format of a prefix.
pub(super) fn format(prefix: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.prefix == prefix)
}

/// A template in a format; `identifier` is that of its record.
pub(super) fn record(entry: &Entry, identifier: &str, format: &Format) -> Element {
    let (prefix, name) = format.root;
    let mut root = Element::new(format!("{prefix}:{name}"))
        .attribute(&format!("xmlns:{prefix}"), format.namespace)
        .attribute("xsi:schemaLocation", format!("{} {}", format.namespace, format.schema));
    for (own, namespace) in [("dc", DC), ("datacite", DATACITE), ("oaire", OAIRE)] {
        if own != prefix {
            root = root.attribute(&format!("xmlns:{own}"), namespace);
        }
    }
    let added = [("identifier", identifier), ("resource_type", "software"), ("rights", "openaccess")];
    let is_added = |name: &str| added.iter().any(|(own, _)| *own == name);
    let written = entry.metadata.iter().filter(|(name, _)| !is_added(name));
    let written = written.flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())));
    let all = written.chain(added).filter(|(_, value)| !value.is_empty());
    root.children(all.filter_map(|(name, value)| (format.element)(name, value)))
}

fn dublin_core(name: &str, value: &str) -> Option<Element> {
    let element = match name {
        "display_name" => "title",
        "template_author" => "creator",
        "creation_date" => "date",
        "template_version" => "version",
        "tag" => "subject",
        "resource_type" => "resourceType",
        "description" | "publisher" | "format" | "identifier" | "rights" => name,
        _ => return None,
    };
    Some(Element::text(format!("dc:{element}"), value))
}

fn openaire(name: &str, value: &str) -> Option<Element> {
    match name {
        "template_version" => Some(Element::text("oaire:version", value)),
        "subject" => Some(Element::text("oaire:subject", value)),
        "rights" => Some(rights(value)),
        "tag" => None,
        _ => dublin_core(name, value),
    }
}

fn datacite(name: &str, value: &str) -> Option<Element> {
    Some(match name {
        "display_name" => Element::text("datacite:title", value),
        "template_author" => Element::new("datacite:creator").child(Element::text("datacite:creatorName", value)),
        "creation_date" => Element::text("datacite:date", value).attribute("dateType", "Issued"),
        "related_identifier" => Element::text("datacite:relatedIdentifier", value)
            .attribute("relatedIdentifierType", "DOI")
            .attribute("relationType", "isContinuedBy"),
        "identifier" => Element::text("datacite:identifier", value).attribute("identifierType", "URN"),
        "resource_type" => Element::text("oaire:resourceType", value)
            .attribute("resourceTypeGeneral", "software")
            .attribute("uri", "http://purl.org/coar/resource_type/c_5ce6"),
        "rights" => rights(value),
        "tag" => return None,
        _ => return dublin_core(name, value),
    })
}

fn rights(value: &str) -> Element {
    Element::text("datacite:rights", value).attribute("rightsURI", "http://purl.org/coar/access_right/c_abf2")
}
