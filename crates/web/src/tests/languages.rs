//! What is said in each language: every catalogue has all of it, pages ask for nothing else, and each reader gets the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Site;
use crate::assets;
use crate::error::{Kind, Problem};
use crate::said::Said;

/// What the forms of a text, or the text, have to be filled in.
fn fill_ins(text: &Value) -> BTreeSet<String> {
    let forms = text.as_object().map_or_else(
        || vec![text.as_str().expect("a text or its forms")],
        |forms| forms.values().map(|form| form.as_str().unwrap()).collect(),
    );
    let parts = forms.iter().flat_map(|form| form.split('{').skip(1));
    let names = parts.map(|part| part.split_once('}').expect("a closed `{`").0.to_owned());
    names.collect()
}

type Catalogue = BTreeMap<String, Value>;

/// The texts of each language by section and key.
fn catalogues() -> Vec<(&'static str, Catalogue)> {
    let read = |(code, json): (&'static str, &[u8])| {
        let sections: BTreeMap<String, Catalogue> = serde_json::from_slice(json).unwrap();
        let texts = sections.into_iter().flat_map(|(section, texts)| {
            let named = move |(key, text)| (format!("{section}.{key}"), text);
            texts.into_iter().map(named)
        });
        (code, texts.collect())
    };
    assets::texts().map(read).collect()
}

#[test]
fn all_languages_say_the_same() {
    let mut all = catalogues().into_iter();
    let (first, texts) = all.next().unwrap();
    assert_eq!(first, "en");
    for (code, other) in all {
        let keys: BTreeSet<_> = texts.keys().collect();
        let others: BTreeSet<_> = other.keys().collect();
        let differ: Vec<_> = keys.symmetric_difference(&others).collect();
        assert!(differ.is_empty(), "only {first} or {code} has {differ:?}");
        for (key, text) in &texts {
            let (is_counted, other) = (text.is_object(), &other[key]);
            assert_eq!(is_counted, other.is_object(), "{code} {key}");
            assert!(!is_counted || other["other"].is_string(), "{code} {key}");
            let mut filled = fill_ins(other);
            // What the server says by itself has more in it than a sentence that is found by its code.
            if key.starts_with("problems.") {
                filled.remove("detail");
            }
            assert_eq!(fill_ins(text), filled, "{code} {key}");
        }
    }
}

#[test]
fn every_problem_and_reason_has_a_text() {
    let (_, texts) = catalogues().swap_remove(0);
    let of = |section: &str| -> BTreeSet<String> {
        let keys = texts.keys().filter_map(|key| key.strip_prefix(section));
        keys.map(str::to_owned).collect()
    };
    let kinds: BTreeSet<_> = Kind::ALL
        .iter()
        .map(|kind| kind.code().to_owned())
        .collect();
    assert_eq!(of("problems."), kinds);
    for kind in Kind::ALL {
        let key = format!("problems.{}", kind.code());
        assert_eq!(texts[&key], kind.title(), "{key}");
    }
    let masters = fs::read_to_string(root().join("crates/master/src/status.rs")).unwrap();
    let codes = masters.split("problem(").skip(1).filter_map(|rest| {
        let code = rest.trim_start().strip_prefix('"')?;
        Some(code.split_once('"')?.0.to_owned())
    });
    let mut codes: BTreeSet<_> = codes.collect();
    codes.extend(["master_unreachable", "uploads_impossible"].map(str::to_owned));
    assert_eq!(of("reasons."), codes);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files below a folder whose names end so.
fn files(folder: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

fn word(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Keys in quotes, as templates and this crate have them.
fn asked_here(sections: &BTreeSet<String>) -> BTreeSet<String> {
    let root = root();
    let mut sources = files(&root.join("templates"), ".html");
    sources.extend(files(&root.join("crates/web/src"), ".rs"));
    let mut asked = BTreeSet::new();
    for (path, text) in sources {
        if path
            .parent()
            .is_some_and(|folder| folder.ends_with("src/tests"))
        {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for quoted in code.split('"') {
            let Some((section, key)) = quoted.split_once('.') else {
                continue;
            };
            let is_key = !key.is_empty() && word(key) == key;
            let is_file = ["js", "json", "html", "rs"].contains(&key);
            if sections.contains(section) && is_key && !is_file {
                asked.insert(quoted.to_owned());
            }
        }
    }
    asked
}

/// Keys that scripts ask for, under the names that texts.js gives to sections.
fn asked_by_scripts(texts: &Catalogue) -> BTreeSet<String> {
    let scripts = files(&root().join("static"), ".js");
    let (_, exports) = scripts
        .iter()
        .find(|(path, _)| path.ends_with("texts.js"))
        .unwrap();
    let (_, exports) = exports.split_once("export const {").unwrap();
    let (exports, _) = exports.split_once('}').unwrap();
    let sections: BTreeMap<&str, &str> = exports
        .split(',')
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(section, name)| (name, section))
        .collect();
    let mut asked = BTreeSet::new();
    for (_, script) in &scripts {
        let imports = script
            .lines()
            .filter_map(|line| line.split_once("} from \"./texts.js\""));
        let imports =
            imports.flat_map(|(names, _)| names.trim_start_matches("import {").split(','));
        for import in imports.map(str::trim) {
            let (name, alias) = import.split_once(" as ").unwrap_or((import, import));
            let Some(section) = sections.get(name) else {
                continue;
            };
            let is_name = |before: &str| {
                !before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
            };
            for (place, _) in script.match_indices(&format!("{alias}.")) {
                if is_name(&script[..place]) {
                    asked.insert(format!(
                        "{section}.{}",
                        word(&script[place + alias.len() + 1..])
                    ));
                }
            }
            // Where one of several is meant, their keys stand in the same script.
            if script.contains(&format!("{alias}[")) {
                let quoted = script.split('"').map(|key| format!("{section}.{key}"));
                asked.extend(quoted.filter(|key| texts.contains_key(key)));
            }
        }
    }
    asked
}

#[test]
fn pages_ask_for_what_is_there_and_for_all_of_it() {
    let (_, texts) = catalogues().swap_remove(0);
    let sections = texts
        .keys()
        .map(|key| key.split_once('.').unwrap().0.to_owned());
    let sections: BTreeSet<_> = sections.collect();
    let mut asked = asked_here(&sections);
    asked.extend(asked_by_scripts(&texts));
    let missing: Vec<_> = asked
        .iter()
        .filter(|key| !texts.contains_key(*key))
        .collect();
    assert!(missing.is_empty(), "no catalogue has {missing:?}");
    let by_code = |key: &str| key.starts_with("problems.") || key.starts_with("reasons.");
    let unused = texts
        .keys()
        .filter(|key| !asked.contains(*key) && !by_code(key));
    let unused: Vec<_> = unused.collect();
    assert!(unused.is_empty(), "nobody asks for {unused:?}");
}

/// A template without what askama puts in.
fn literal(template: &str) -> String {
    let mut literal = template.to_owned();
    for (begin, end) in [
        // Names, of a script and of an element.
        ("{% block script_name %}", "{% endblock %}"),
        ("{% block skip_to %}", "{% endblock %}"),
        ("{#", "#}"),
        ("{%", "%}"),
        ("{{", "}}"),
    ] {
        while let Some(from) = literal.find(begin) {
            let len = literal[from..].find(end).expect("it is closed") + end.len();
            literal.replace_range(from..from + len, "");
        }
    }
    literal
}

#[test]
fn templates_have_no_words_of_their_own() {
    // What a block adds to a tag stands outside of tags in its own file: `data-path="…"`, `download>`.
    let is_attribute =
        |word: &str| word.contains("=\"") || word.ends_with(['"', '>']) || word == "data-folder";
    let has_words = |text: &str| {
        let mut words = text
            .split_whitespace()
            .filter(|word| *word != "DFS" && !is_attribute(word));
        words.any(|word| word.contains(char::is_alphabetic))
    };
    for (path, template) in files(&root().join("templates"), ".html") {
        for part in literal(&template).split('<') {
            let (tag, text) = part.split_once('>').unwrap_or(("", part));
            assert!(!has_words(text), "{}: {text:?}", path.display());
            for attribute in ["aria-label", "placeholder", "title", "alt"] {
                let value = tag.split_once(&format!(" {attribute}=\""));
                let value = value.map_or("", |(_, value)| value.split('"').next().unwrap());
                assert!(
                    !has_words(value),
                    "{}: {attribute} {value:?}",
                    path.display()
                );
            }
        }
    }
}

#[tokio::test]
async fn readers_get_what_they_chose_or_what_they_read() {
    let site = Site::new();
    for (accepted, cookie, expected) in [
        ("", "", "en"),
        ("de", "", "de"),
        ("de-AT,en;q=0.5", "", "de"),
        ("DE-CH", "", "de"),
        ("en;q=0.5, de;q=0.8", "", "de"),
        ("fr, en;q=0.4, de;q=0.2", "", "en"),
        ("fr", "", "en"),
        ("*", "", "en"),
        ("de;q=0", "", "en"),
        ("de;q=much", "", "en"),
        (",;,=;q", "", "en"),
        ("de", "dfs-language=en", "en"),
        ("en", "a=b; dfs-language=de", "de"),
        ("de", "dfs-language=fr", "de"),
        ("en", "xdfs-language=de", "en"),
    ] {
        for address in [
            "/",
            "/trash",
            "/shares",
            "/cluster",
            "/search",
            "/nothing",
            "/s/nothing",
        ] {
            let mut headers = vec![("accept", "text/html")];
            let more = [("accept-language", accepted), ("cookie", cookie)];
            headers.extend(more.iter().filter(|(_, value)| !value.is_empty()));
            let page = site.send(&format!("GET {address}"), &headers, "").await;
            let case = format!("{address} {accepted} {cookie}");
            assert_eq!(page.header("content-language"), expected, "{case}");
            assert!(
                page.text().contains(&format!("<html lang=\"{expected}\">")),
                "{case}"
            );
            assert!(
                page.header("vary").contains("Accept-Language, Cookie"),
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn a_choice_is_kept_and_leads_back() {
    let site = Site::new();
    let choose = async |address: &str, form: &str, headers: &[(&str, &str)]| {
        let form_type = [("content-type", "application/x-www-form-urlencoded")];
        let headers = [&form_type, headers].concat();
        site.send(&format!("POST {address}"), &headers, form.to_owned())
            .await
    };
    let chosen = choose(
        "/language",
        "language=de&back=%2Ffolder%2Fa%2520b%3Fsort%3Dsize",
        &[],
    )
    .await;
    assert_eq!(chosen.status, 303);
    assert_eq!(chosen.header("location"), "/folder/a%20b?sort=size");
    let cookie = chosen.header("set-cookie");
    assert!(
        cookie.starts_with("dfs-language=de; HttpOnly; SameSite=Lax; Path=/; Max-Age="),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"));
    let secure = [("x-forwarded-proto", "https")];
    let chosen = choose("/language", "language=en&back=/", &secure).await;
    assert!(chosen.header("set-cookie").ends_with("; Secure"));
    let elsewhere = choose("/language", "language=de&back=%2F%2Fevil.example%2F", &[]).await;
    assert_eq!(elsewhere.header("location"), "/");
    let unknown = choose("/language", "language=xx&back=/", &[]).await;
    unknown.expect_problem(400, "invalid_argument");
    choose("/language", "nothing", &[])
        .await
        .expect_problem(400, "bad_request");
    let foreign = [("sec-fetch-site", "cross-site")];
    let foreign = choose("/language", "language=de&back=/", &foreign).await;
    foreign.expect_problem(403, "cross_site");
    // A share's page tells nobody where it is, and so its form comes from nowhere.
    let hidden = [("origin", "null")];
    let received = choose("/s/language", "language=de&back=/s/abc", &hidden).await;
    assert_eq!(
        (received.status, received.header("location")),
        (303, "/s/abc")
    );
    choose("/language", "language=de&back=/", &hidden)
        .await
        .expect_problem(403, "cross_site");
}

/// Of a file that was too large neither its size nor the limit was told.
#[test]
fn what_only_the_english_sentence_has_is_told_too() {
    let detail = "the file has 5.1 GB, and this cluster takes 1 GB at most";
    let problem = Problem::new(Kind::TooLarge, detail);
    let said = Said::problem(crate::texts::of("de").unwrap(), &problem);
    let text = said.to_string();
    assert!(text.starts_with("Die Datei ist zu groß."), "{text}");
    // Who hears it is to hear it as what it is.
    let marked = format!("<span lang=\"en\">{detail}</span>");
    assert!(text.contains(&marked) && !said.is_foreign, "{text}");
    let english = Said::problem(crate::texts::of("en").unwrap(), &problem);
    assert_eq!(english.to_string(), detail);
}

#[tokio::test]
async fn values_are_written_as_the_language_does() {
    let site = Site::new();
    site.keep("/a.bin", &vec![0; 1_234_567]);
    let german = [("accept-language", "de")];
    let page = site.send("GET /", &german, "").await;
    assert!(page.text().contains(">1,2 MB<"), "{}", page.text());
    assert!(page.text().contains("06.11.1994, 08:49 UTC"));
    assert!(page.text().contains("aria-label=\"a.bin auswählen\""));
    let missing = site.send("GET /folder/missing", &german, "").await;
    assert!(missing.text().contains("Es gibt keinen Ordner /missing"));
}
