//! By which trunks a number may be called, written how. What no rule matches is not called.

use super::number::Wanted;
use crate::config::dial_out::{DialOut, Rule};
use gateway_core::base::ids::TrunkId;

/// One way to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// By this trunk.
    pub trunk: TrunkId,
    /// Request-URI.
    pub target: String,
    /// Number to show, where the rule fixes it.
    pub from: Option<String>,
}

/// Why a number is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// It is denied, or not among those that are allowed, or no rule matches.
    NotAllowed,
    /// All trunks that could are down.
    TrunksDown,
}

/// All ways, in the order they are tried.
pub fn ways(
    dial_out: &DialOut,
    wanted: &Wanted,
    is_usable: impl Fn(TrunkId) -> bool,
) -> Result<Vec<Way>, NoWay> {
    let number = wanted.number.as_str();
    let is_allowed = dial_out.allowed.is_empty()
        || dial_out.allowed.iter().any(|pattern| pattern.matches(number));
    if !is_allowed || dial_out.denied.iter().any(|pattern| pattern.matches(number)) {
        return Err(NoWay::NotAllowed);
    }
    let fits = |rule: &&Rule| rule.is_uri == wanted.is_uri && rule.number.matches(number);
    let matching: Vec<(TrunkId, Way)> = dial_out
        .rules
        .iter()
        .filter(fits)
        .filter_map(|rule| Some((rule.trunk, way(rule, wanted)?)))
        .collect();
    if matching.is_empty() {
        return Err(NoWay::NotAllowed);
    }
    let ways: Vec<Way> = matching
        .into_iter()
        .filter(|(trunk, _)| is_usable(*trunk))
        .map(|(_, way)| way)
        .take(WAYS_MAX)
        .collect();
    if ways.is_empty() { Err(NoWay::TrunksDown) } else { Ok(ways) }
}

/// `None`: nothing is left of the number.
fn way(rule: &Rule, wanted: &Wanted) -> Option<Way> {
    let rest: String = wanted.number.chars().skip(rule.strip).collect();
    let number = format!("{}{rest}", rule.prepend);
    if rest.is_empty() {
        return None;
    }
    let target = match &rule.target {
        None => number,
        // `#` begins a fragment; as part of a number it is written otherwise.
        Some(target) if wanted.is_uri => {
            let plain = number.strip_prefix("sip:").unwrap_or(&number);
            let user = plain.split_once('@').map_or(plain, |(user, _)| user);
            target.replace("{number}", user)
        }
        Some(target) => target.replace("{number}", &number.replace('#', "%23")),
    };
    Some(Way { trunk: rule.trunk, target, from: rule.from.clone() })
}

/// A caller waits; trying more trunks takes longer than he does.
const WAYS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::number::Pattern;

    fn rule(pattern: &str, trunk: u16) -> Rule {
        Rule {
            number: Pattern::new(pattern).expect("a pattern"),
            is_uri: pattern.starts_with("sip:"),
            trunk: TrunkId(trunk),
            strip: 0,
            prepend: String::new(),
            target: (!pattern.starts_with("sip:")).then(|| "sip:{number}@192.0.2.1".to_owned()),
            from: None,
        }
    }

    fn dial_out(rules: Vec<Rule>) -> DialOut {
        DialOut {
            enabled: true,
            allowed: Vec::new(),
            denied: Vec::new(),
            calls_max: 10,
            per_minute: 10,
            ring_max: Duration::from_secs(60),
            linger: Duration::from_secs(5),
            rules,
        }
    }

    fn targets(dial_out: &DialOut, typed: &str, down: &[u16]) -> Result<Vec<String>, NoWay> {
        let wanted = Wanted::read(typed).expect("a number");
        let ways = ways(dial_out, &wanted, |trunk| !down.contains(&trunk.0))?;
        Ok(ways.into_iter().map(|way| format!("{} {}", way.trunk.0, way.target)).collect())
    }

    #[test]
    fn the_first_rule_counts_and_the_next_ones_wait() {
        let national = Rule { strip: 3, prepend: "0".to_owned(), ..rule("+62*", 0) };
        let rules = dial_out(vec![national, rule("+6221*", 1), rule("?*", 2)]);
        let all =
            ["0 sip:021555@192.0.2.1", "1 sip:+6221555@192.0.2.1", "2 sip:+6221555@192.0.2.1"];
        assert_eq!(targets(&rules, "+62 21 555", &[]), Ok(all.map(str::to_owned).to_vec()));
        assert_eq!(targets(&rules, "+62 21 555", &[0, 2]), Ok(vec![all[1].to_owned()]));
        assert_eq!(targets(&rules, "+62 21 555", &[0, 1, 2]), Err(NoWay::TrunksDown));
        assert_eq!(targets(&rules, "*43#", &[]), Ok(vec!["2 sip:*43%23@192.0.2.1".to_owned()]));
    }

    #[test]
    fn what_is_denied_or_not_allowed_or_unknown_is_not_called() {
        let mut rules = dial_out(vec![rule("+62*", 0)]);
        assert_eq!(targets(&rules, "+4930", &[]), Err(NoWay::NotAllowed));
        rules.denied.extend(Pattern::new("+62900*"));
        assert_eq!(targets(&rules, "+62 900 1", &[]), Err(NoWay::NotAllowed));
        assert!(targets(&rules, "+62 21 1", &[]).is_ok());
        rules.allowed.extend(Pattern::new("+6222*"));
        assert_eq!(targets(&rules, "+62 21 1", &[]), Err(NoWay::NotAllowed));
        let all_gone = Rule { strip: 9, ..rule("?*", 0) };
        assert_eq!(targets(&dial_out(vec![all_gone]), "123", &[]), Err(NoWay::NotAllowed));
    }

    #[test]
    fn a_uri_needs_a_rule_of_its_own() {
        let uri = "sip:bob@pbx.example.org";
        assert_eq!(targets(&dial_out(vec![rule("?*", 0)]), uri, &[]), Err(NoWay::NotAllowed));
        let rules = dial_out(vec![rule("?*", 0), rule("sip:*@pbx.example.org", 1)]);
        assert_eq!(targets(&rules, uri, &[]), Ok(vec![format!("1 {uri}")]));
        assert_eq!(targets(&rules, "sip:bob@evil.example", &[]), Err(NoWay::NotAllowed));
        let written =
            Rule { target: Some("sip:{number}@192.0.2.1".to_owned()), ..rule("sip:*", 1) };
        let expected = Ok(vec!["1 sip:bob@192.0.2.1".to_owned()]);
        assert_eq!(targets(&dial_out(vec![written]), uri, &[]), expected);
    }
}
