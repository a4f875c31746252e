//! Patterns for dialled numbers and room names, and what remains of a number when it is masked.

use std::fmt;

/// A pattern: `?` stands for one character, `*` for any number of them. Compared without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Every text is a pattern but the empty one.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        (!text.is_empty()).then_some(Self(text))
    }

    /// Whether `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let text: Vec<char> = text.to_lowercase().chars().collect();
        fits(&pattern, &text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Greedy match with one place to come back to: linear for one star, never exponential.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(sign) if *sign == '?' || *sign == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    p = star + 1;
                    t = from + 1;
                    back = Some((star, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|sign| *sign == '*')
}

/// A number as others may see it: `+62 *** 47`. Five characters or fewer show nothing.
pub fn masked(number: &str) -> String {
    let signs: Vec<char> = number.chars().collect();
    let keep_front = if number.starts_with('+') { 3 } else { 2 };
    if signs.len() < keep_front + 4 {
        return "***".to_owned();
    }
    let front: String = signs.iter().take(keep_front).collect();
    let back: String = signs.iter().skip(signs.len() - 2).collect();
    format!("{front} *** {back}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("pin", "PIN", true),
            ("pin", "pins", false),
            ("+6221*", "+622155512", true),
            ("+6221*", "+6222", false),
            ("61?", "612", true),
            ("61?", "6123", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
        ];
        for (pattern, text, expected) in cases {
            let pattern = Pattern::new(pattern).expect("not empty");
            assert_eq!(pattern.matches(text), expected, "{pattern} against {text}");
        }
        assert_eq!(Pattern::new("  "), None);
    }

    #[test]
    fn a_masked_number_shows_prefix_and_two_digits() {
        assert_eq!(masked("+622112345647"), "+62 *** 47");
        assert_eq!(masked("02112345647"), "02 *** 47");
        assert_eq!(masked("12345"), "***");
        assert_eq!(masked(""), "***");
    }
}
