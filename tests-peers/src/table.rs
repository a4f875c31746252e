//! The verdicts as a table: printed at the end of a run, and in the form of `docs/interop.md`.

use std::fmt;

use crate::sound::Heard;

/// One direction of one call.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who spoke, with codec: `Asterisk 16 (ulaw)`.
    pub speaker: String,
    /// Who listened, with codec.
    pub listener: String,
    /// Normalised correlation.
    pub correlation: f64,
    /// Level against what was spoken, in dB.
    pub level_db: f64,
    /// Mouth to ear in ms, where it could be measured.
    pub delay_ms: Option<f64>,
    /// Loudest trace of the listener's own voice in what he heard, in dB against what he said.
    pub own_voice_db: f64,
    /// What is wrong; empty when all is well.
    pub faults: Vec<String>,
}

impl Row {
    /// The verdict on what a listener heard of a speaker: the same speech, as loud, and nothing of his own.
    pub fn judged(
        [speaker, listener]: [&str; 2],
        found: Option<Heard>,
        delay_ms: Option<f64>,
        own_voice_db: f64,
        mut faults: Vec<String>,
    ) -> Row {
        match found {
            None => faults.push("nothing to judge".into()),
            Some(found) if found.correlation < 0.95 => {
                faults.push(format!("{DISTURBED}, drift {:.0} ms", found.drift_ms));
            }
            Some(found) if found.level_db.abs() > 1.0 => faults.push("wrong level".into()),
            Some(_) => {}
        }
        if own_voice_db > -45.0 {
            faults.push(format!("the listener hears himself at {own_voice_db:.0} dB"));
        }
        Row {
            speaker: speaker.to_owned(),
            listener: listener.to_owned(),
            correlation: found.map_or(0.0, |found| found.correlation),
            level_db: found.map_or(0.0, |found| found.level_db),
            delay_ms,
            own_voice_db,
            faults,
        }
    }

    /// Nothing is wrong but what a busy machine does to sound.
    fn is_disturbed(&self) -> bool {
        self.faults.iter().all(|fault| fault.starts_with(DISTURBED))
    }
}

const DISTURBED: &str = "not the same speech";

/// All rows of a run.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In the order of the calls.
    pub rows: Vec<Row>,
}

impl Table {
    /// Plays until each row was heard undisturbed once, `most` times at most. Gives the rows of which that is not true, and
    /// every row that had another fault at any time: an echo is an echo, however rare.
    pub fn played_until_heard(most: usize, mut play: impl FnMut(usize) -> Table) -> Table {
        let mut left = play(1).faulty();
        for number in 2..=most {
            if left.rows.iter().all(|row| !row.is_disturbed()) {
                break;
            }
            eprintln!("played again: {:?}", left.faults());
            let again = play(number).faulty();
            let same = |a: &Row, b: &Row| (&a.speaker, &a.listener) == (&b.speaker, &b.listener);
            left.rows
                .retain(|row| !row.is_disturbed() || again.rows.iter().any(|it| same(it, row)));
            left.rows.extend(again.rows.into_iter().filter(|row| !row.is_disturbed()));
        }
        left
    }

    fn faulty(mut self) -> Table {
        self.rows.retain(|row| !row.faults.is_empty());
        self
    }

    /// The rows that failed, as lines.
    pub fn faults(&self) -> Vec<String> {
        self.rows
            .iter()
            .filter(|row| !row.faults.is_empty())
            .map(|row| format!("{} -> {}: {}", row.speaker, row.listener, row.faults.join("; ")))
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| speaker | listener | correlation | level dB | delay ms | own voice dB | verdict |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let delay = row.delay_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
            let verdict =
                if row.faults.is_empty() { "ok".to_owned() } else { row.faults.join("; ") };
            writeln!(
                out,
                "| {} | {} | {:.3} | {:+.2} | {delay} | {:.0} | {verdict} |",
                row.speaker, row.listener, row.correlation, row.level_db, row.own_voice_db
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(faults: [&[&str]; 2]) -> Table {
        let row = |(number, faults): (usize, &[&str])| Row {
            speaker: format!("{number}"),
            listener: "ear".to_owned(),
            correlation: 1.0,
            level_db: 0.0,
            delay_ms: None,
            own_voice_db: -90.0,
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        };
        Table { rows: faults.into_iter().enumerate().map(row).collect() }
    }

    #[test]
    fn a_disturbed_row_may_be_heard_later_and_an_echo_is_never_forgiven() {
        let echo: &[&str] = &["the listener hears himself at -20 dB"];
        let left = |plays: &[Table]| {
            let left = Table::played_until_heard(plays.len(), |number| plays[number - 1].clone());
            left.faults().len()
        };
        let disturbed: &[&str] = &[DISTURBED];
        assert_eq!(left(&[table([disturbed, &[]]), table([&[], disturbed])]), 0);
        assert_eq!(left(&[table([disturbed, &[]]), table([disturbed, &[]])]), 1);
        assert_eq!(left(&[table([echo, &[]]), table([&[], &[]])]), 1);
        assert_eq!(left(&[table([disturbed, &[]]), table([&[], echo])]), 1);
        assert_eq!(left(&[table([&[DISTURBED, echo[0]], &[]]), table([&[], &[]])]), 1);
    }
}
