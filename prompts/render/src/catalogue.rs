//! The text catalogue of one language: what is said, with which voice, and how hard words are spoken.

use std::collections::BTreeMap;

use gateway_core::media::clip::prompt::PromptId;
use serde::Deserialize;

/// A catalogue with exactly one text per prompt.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Who speaks.
    pub voice: Voice,
    prompts: BTreeMap<String, String>,
    count: Count,
    #[serde(default)]
    pronounce: BTreeMap<String, String>,
}

/// An espeak-ng voice and its manner.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    /// Name for `espeak-ng -v`.
    pub espeak: String,
    /// Speed.
    pub words_per_minute: u32,
    /// 0 to 99; 50 is the voice's own.
    pub pitch: u32,
}

/// The phrase that says how many people are in a room.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    phrase: String,
    numbers: Vec<String>,
}

/// Why a catalogue cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    #[error("[prompts] lacks: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    #[error("[prompts] has what no PromptId is called: {}", .0.join(", "))]
    Unknown(Vec<String>),
    #[error("[count] needs 22 numbers (0 to 20 and \"more than twenty\"), has {0}")]
    Numbers(usize),
    #[error("[count] phrase must contain {{}}")]
    Placeholder,
}

impl Catalogue {
    /// Reads a catalogue and holds it against the list of prompts.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let catalogue: Self = toml::from_str(text)?;
        let written =
            || PromptId::all().filter(|id| !matches!(id, PromptId::Count(_))).map(PromptId::name);
        let missing: Vec<_> =
            written().filter(|name| !catalogue.prompts.contains_key(*name)).collect();
        if !missing.is_empty() {
            return Err(CatalogueError::Missing(missing));
        }
        let unknown: Vec<_> = catalogue
            .prompts
            .keys()
            .filter(|key| !written().any(|name| name == *key))
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(CatalogueError::Unknown(unknown));
        }
        if catalogue.count.numbers.len() != PromptId::all().count() - written().count() {
            return Err(CatalogueError::Numbers(catalogue.count.numbers.len()));
        }
        if !catalogue.count.phrase.contains("{}") {
            return Err(CatalogueError::Placeholder);
        }
        Ok(catalogue)
    }

    /// What a prompt says.
    pub fn words(&self, id: PromptId) -> String {
        match id {
            PromptId::Count(people) => {
                self.count.phrase.replace("{}", &self.count.numbers[usize::from(people)])
            }
            _ => self.prompts[id.name()].clone(),
        }
    }

    /// The words as espeak-ng is given them: whole words of `[pronounce]` replaced, in any case.
    pub fn pronounced(&self, words: &str) -> String {
        let mut spoken = String::new();
        let mut rest = words;
        while let Some(start) = rest.find(char::is_alphanumeric) {
            let (between, from_word) = rest.split_at(start);
            let end = from_word.find(|c: char| !c.is_alphanumeric()).unwrap_or(from_word.len());
            let (word, after) = from_word.split_at(end);
            spoken.push_str(between);
            spoken.push_str(self.pronunciation(word).unwrap_or(word));
            rest = after;
        }
        spoken + rest
    }

    fn pronunciation(&self, word: &str) -> Option<&str> {
        let lower = word.to_lowercase();
        self.pronounce
            .iter()
            .find(|(written, _)| written.to_lowercase() == lower)
            .map(|(_, spoken)| spoken.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_core::media::clip::{ClipLibrary, Language};

    const TEXTS: [&str; 4] = [
        include_str!("../../catalogue/en.toml"),
        include_str!("../../catalogue/id.toml"),
        include_str!("../../catalogue/pt-BR.toml"),
        include_str!("../../catalogue/ru.toml"),
    ];

    #[test]
    fn the_packs_were_rendered_from_these_catalogues() {
        let library = ClipLibrary::embedded().unwrap();
        for (language, text) in Language::ALL.into_iter().zip(TEXTS) {
            let catalogue =
                Catalogue::parse(text).unwrap_or_else(|error| panic!("{language}: {error}"));
            for id in PromptId::all() {
                let rendered = library.words(id, language);
                assert_eq!(
                    rendered,
                    Some(catalogue.words(id).as_str()),
                    "{language}/{id}: render again"
                );
            }
        }
    }

    #[test]
    fn a_forgotten_and_an_invented_prompt_are_named() {
        let without = TEXTS[0].replace("goodbye = \"Goodbye.\"\n", "");
        assert!(
            matches!(Catalogue::parse(&without), Err(CatalogueError::Missing(names)) if names == ["goodbye"])
        );
        let with = TEXTS[0].replace("[prompts]\n", "[prompts]\nadieu = \"x\"\n");
        assert!(
            matches!(Catalogue::parse(&with), Err(CatalogueError::Unknown(names)) if names == ["adieu"])
        );
        let fewer = TEXTS[0].replace("    \"more than twenty\",\n", "");
        assert!(matches!(Catalogue::parse(&fewer), Err(CatalogueError::Numbers(21))));
    }

    #[test]
    fn hard_words_are_replaced_whole_and_in_any_case() {
        let catalogue = Catalogue::parse(TEXTS[1]).unwrap();
        assert_eq!(catalogue.pronounced("Tekan PIN, pinang."), "[[t@k'an]] pin, pinang.");
    }
}
