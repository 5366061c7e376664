//! The page as one text: style, script, data, and a policy that forbids other scripts and all requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(include_str!("page.js"), include_str!("figures.js"), include_str!("map.js"));

/// Inserts data, a JSON text, into the page. Each mark is searched after the one before, so marks in the data do not count.
pub(super) fn fill(data: &str) -> String {
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    // JSON has `<` in strings only. Escaped, no name can end the element that holds the data.
    let data = data.replace('<', "\\u003c");
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = PAGE;
    for (mark, text) in
        [("{policy}", policy.as_str()), ("{style}", STYLE), ("{data}", &data), ("{script}", SCRIPT)]
    {
        let (before, after) = rest.split_once(mark).expect("the page has every mark once, in this order");
        page.push_str(before);
        page.push_str(text);
        rest = after;
    }
    page + rest
}

/// The source expression by which the policy allows a text.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(hmac_sha256::Hash::hash(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::{SCRIPT, fill, hash};

    #[test]
    fn no_data_ends_its_element_or_is_taken_for_a_mark() {
        let page = fill(r#"{"name":"</script>{script}"}"#);
        assert!(page.contains(r#"{"name":"\u003c/script>{script}"}"#));
        assert_eq!(page.matches("</script>").count(), 2);
        assert_eq!(page.matches(SCRIPT).count(), 1);
    }

    #[test]
    fn the_hash_is_the_one_that_browsers_compute() {
        assert_eq!(hash("abc"), "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='");
    }
}
