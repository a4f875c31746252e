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
                faults.push(format!("not the same speech, drift {:.0} ms", found.drift_ms));
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
}

/// All rows of a run.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In the order of the calls.
    pub rows: Vec<Row>,
}

impl Table {
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
