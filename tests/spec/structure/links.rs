//! Links in the documents lead somewhere.

use super::{files, read, root};

/// `[text](target)` in every document: a file of the project, or a heading of a document.
#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut documents = Vec::new();
    files(&root(), "md", &mut documents);
    let mut links = 0;
    for document in documents {
        let text = read(&document);
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if target.starts_with("http") || target.is_empty() {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                document.clone()
            } else {
                document.parent().expect("a document is in a folder").join(file)
            };
            assert!(path.exists(), "{}: no {target}", document.display());
            if !heading.is_empty() {
                let anchors: Vec<String> = read(&path)
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .map(|line| anchor(line.trim_start_matches('#').trim()))
                    .collect();
                assert!(anchors.iter().any(|a| a == heading), "{}: no {target}", document.display());
            }
        }
    }
    assert!(links > 0, "no link was looked at");
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
