//! The languages the gateway speaks, written as BCP 47 tags.

use std::fmt;
use std::str::FromStr;

/// A language with a complete set of prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Indonesian.
    Id,
    /// Brazilian Portuguese; also what a plain `pt` gets.
    PtBr,
    /// Russian.
    Ru,
}

impl Language {
    /// Every language, in the order of their tags.
    pub const ALL: [Self; 4] = [Self::En, Self::Id, Self::PtBr, Self::Ru];

    /// The tag as the catalogue files and an operator's prompt folders are named: `en`, `id`, `pt-BR`, `ru`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Id => "id",
            Self::PtBr => "pt-BR",
            Self::Ru => "ru",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.tag())
    }
}

/// The tag names no language with prompts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no prompts for language \"{tag}\"; write one of en, id, pt-BR, ru")]
pub struct UnknownLanguage {
    /// What was asked for.
    pub tag: String,
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    /// Reads a BCP 47 tag by its primary subtag, any case: region and script are accepted and, except in `pt-BR`,
    /// make no difference (`en-GB` is `en`, `pt-PT` is the nearest we have).
    fn from_str(tag: &str) -> Result<Self, UnknownLanguage> {
        let unknown = || UnknownLanguage { tag: tag.to_owned() };
        let well_formed = tag.split('-').all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if !well_formed {
            return Err(unknown());
        }
        let primary = tag.split('-').next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "en" => Ok(Self::En),
            // `in` is the withdrawn code for Indonesian that older phones and Java still send.
            "id" | "in" => Ok(Self::Id),
            "pt" => Ok(Self::PtBr),
            "ru" => Ok(Self::Ru),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_printed_is_a_tag_read() {
        for language in Language::ALL {
            assert_eq!(language.to_string().parse(), Ok(language));
        }
    }

    #[test]
    fn regions_and_case_lead_to_the_nearest_language() {
        assert_eq!("EN-gb".parse(), Ok(Language::En));
        assert_eq!("pt".parse(), Ok(Language::PtBr));
        assert_eq!("pt-br".parse(), Ok(Language::PtBr));
        assert_eq!("in".parse(), Ok(Language::Id));
        assert_eq!("ru-Cyrl-RU".parse(), Ok(Language::Ru));
    }

    #[test]
    fn an_unknown_tag_says_what_may_be_written() {
        for tag in ["", "de", "english", "en_US", "en-", "../en"] {
            let error = tag.parse::<Language>().unwrap_err();
            assert_eq!(error.tag, tag);
            assert!(error.to_string().contains("en, id, pt-BR, ru"), "{error}");
        }
    }
}
