//! The page as one text: its style, its script, the data, and the rule that nothing else runs or is fetched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(include_str!("page.js"), include_str!("figures.js"), include_str!("map.js"));

/// Puts data, a JSON text, into the page. Each mark is looked for behind the one before, so none is found in the data.
pub(super) fn fill(data: &str) -> String {
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    // In JSON a `<` stands in strings only: escaped, no name can end the element that the data is in.
    let data = data.replace('<', "\\u003c");
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = PAGE;
    for (mark, text) in
        [("{policy}", policy.as_str()), ("{style}", STYLE), ("{data}", &data), ("{script}", SCRIPT)]
    {
        let (before, behind) = rest.split_once(mark).expect("the page has every mark once, in this order");
        page.push_str(before);
        page.push_str(text);
        rest = behind;
    }
    page + rest
}

/// How a policy names what it lets run.
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
