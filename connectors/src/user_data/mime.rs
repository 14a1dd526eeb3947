//! Several user data in one, as a MIME message (RFC 2046, 5.1) whose parts cloud-init handles in order.

/// First lines that cloud-init knows, with the types of its documentation ("User data formats").
const TYPES: [(&str, &str); 7] = [
    ("#cloud-config", "text/cloud-config"),
    ("#!", "text/x-shellscript"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#part-handler", "text/part-handler"),
    ("## template: jinja", "text/jinja2"),
];

/// The parts as one message.
pub(super) fn multipart(parts: &[&str]) -> String {
    let boundary = boundary(parts);
    let mut message = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n");
    for part in parts {
        message += &format!("\n--{boundary}\n{}", entity(part));
    }
    message + &format!("\n--{boundary}--\n")
}

/// A part with its header. A message, with a header of its own, stays as it is.
fn entity(part: &str) -> String {
    let header = part.lines().take_while(|line| !line.is_empty()).map(str::to_ascii_lowercase);
    if header.clone().all(|line| line.contains(':') || line.starts_with([' ', '\t']))
        && header.clone().any(|line| line.starts_with("content-type:"))
    {
        return format!("{part}\n");
    }
    let known = TYPES.iter().find(|(first, _)| part.starts_with(first));
    // cloud-init looks for itself what a plain text is.
    let kind = known.map_or("text/plain", |(_, kind)| kind);
    if part.is_ascii() {
        return format!("Content-Type: {kind}; charset=\"us-ascii\"\n\n{part}\n");
    }
    let coded: Vec<char> = openssl::base64::encode_block(part.as_bytes()).chars().collect();
    let lines: Vec<String> = coded.chunks(76).map(|line| line.iter().collect()).collect();
    format!("Content-Type: {kind}; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n{}\n", lines.join("\n"))
}

/// A line that is in no part.
fn boundary(parts: &[&str]) -> String {
    let mut candidates = (0_u32..).map(|number| format!("imd-user-data-{number}"));
    let free = |line: &String| !parts.iter().any(|part| part.contains(line.as_str()));
    candidates.find(free).unwrap_or_default()
}
