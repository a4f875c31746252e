//! An old installation as it is found: its keys, its variables, and what is wrong with its files.

use std::path::{Path, PathBuf};

use super::debian;
use super::environment::Environment;
use super::keys::{Keys, Origin};
use super::properties::{self, Properties};
use crate::check::Weight;
use crate::config::Mistakes;

/// Something an admin should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How bad.
    pub weight: Weight,
    /// Where.
    pub origin: Option<Origin>,
    /// What, and what to do.
    pub text: String,
}

/// An old installation.
#[derive(Clone, Debug, Default)]
pub struct Old {
    /// How messages call it: the file, or "environment".
    pub name: String,
    /// Keys of `sip-communicator.properties`, of options and of what a container would write.
    pub keys: Keys,
    /// Variables of docker-jitsi-meet that are set.
    pub docker: Vec<(String, Origin)>,
    /// Variables of Debian's package.
    pub debian: Vec<(String, Origin)>,
    /// What was noticed.
    pub remarks: Vec<Remark>,
    /// What cannot be used.
    pub(super) faults: Vec<(Option<Origin>, String)>,
}

/// Largest file of variables.
const VARIABLES_MAX: u64 = 1 << 18;

impl Old {
    /// Debian's way: a properties file, and the package's shell file (`config` beside it unless another is named).
    pub fn of_properties(file: &Path, shell: Option<&Path>) -> Result<Self, Mistakes> {
        let mut old = Self { name: file.display().to_string(), ..Self::default() };
        let read = old.file(file).ok_or_else(|| old.refused())?;
        let name = short_name(file);
        old.readable_by_all(file, &read);
        old.keys.take(&read, |line| Origin::Line { file: name.clone(), line });
        let beside = file.parent().unwrap_or(Path::new("")).join("config");
        let shell = shell.map(Path::to_path_buf).or_else(|| beside.is_file().then_some(beside));
        if let Some(shell) = shell {
            old.shell(&shell);
        }
        old.fill();
        if old.faults.is_empty() { Ok(old) } else { Err(old.refused()) }
    }

    /// Docker's way: variables, and the lines a site adds to what the container makes of them.
    pub fn of_environment(
        name: &str,
        environment: &Environment,
        custom: Option<&Path>,
    ) -> Result<Self, Mistakes> {
        let mut old = Self { name: name.to_owned(), ..Self::default() };
        if !environment.is_jigasi() {
            let what =
                "holds no variable of docker-jitsi-meet's Jigasi (JIGASI_SIP_URI, XMPP_DOMAIN ...)";
            old.faults.push((None, what.to_owned()));
            return Err(old.refused());
        }
        for (variable, line, _) in environment.all() {
            let known = super::table::row(super::table::Place::Docker, variable).is_some();
            if known || variable.starts_with("JIGASI_") {
                let origin = match line {
                    0 => Origin::Variable(variable.to_owned()),
                    line => Origin::Line { file: name.to_owned(), line },
                };
                old.docker.push((variable.to_owned(), origin));
            }
        }
        let written = environment.written();
        let origin = |line: usize| {
            let at = written.origins.get(line.saturating_sub(1));
            at.cloned().unwrap_or(Origin::Docker)
        };
        for mistake in &written.mistakes {
            let at = (mistake.line > 0)
                .then(|| Origin::Line { file: name.to_owned(), line: mistake.line });
            old.faults.push((at, mistake.text.clone()));
        }
        match properties::read(written.text.as_bytes()) {
            Ok(read) => old.keys.take(&read, origin),
            Err(mistakes) => {
                for mistake in mistakes {
                    old.faults.push((Some(origin(mistake.line)), mistake.text));
                }
            }
        }
        if let Some(custom) = custom
            && let Some(read) = old.file(custom)
        {
            let name = short_name(custom);
            old.keys.take(&read, |line| Origin::Line { file: name.clone(), line });
        }
        old.fill();
        if old.faults.is_empty() { Ok(old) } else { Err(old.refused()) }
    }

    /// All that cannot be used.
    pub(super) fn refused(&self) -> Mistakes {
        let mut mistakes = Mistakes::new(&self.name);
        let name = short_name(Path::new(&self.name));
        for (origin, text) in &self.faults {
            match origin {
                Some(Origin::Line { file, line }) if *file == name => {
                    mistakes.add(*line, text.clone());
                }
                Some(origin) => mistakes.add(0, format!("{origin}: {text}")),
                None => mistakes.add(0, text.clone()),
            }
        }
        mistakes.entries.sort();
        mistakes.entries.dedup();
        mistakes
    }

    pub(super) fn warn(&mut self, origin: Option<&Origin>, text: impl Into<String>) {
        let (origin, text) = (origin.cloned(), text.into());
        self.remarks.push(Remark { weight: Weight::Warning, origin, text });
    }

    /// Reads a properties file.
    fn file(&mut self, path: &Path) -> Option<Properties> {
        let name = short_name(path);
        let read = std::fs::read(path).map_err(|error| {
            let what = format!("{} cannot be read: {error}", path.display());
            self.faults.push((None, what));
        });
        let read = properties::read(&read.ok()?);
        if let Err(mistakes) = &read {
            for mistake in mistakes {
                let at = Origin::Line { file: name.clone(), line: mistake.line };
                self.faults.push((Some(at), mistake.text.clone()));
            }
        }
        let read = read.ok()?;
        for (line, key, counts) in &read.hidden {
            let at = Origin::Line { file: name.clone(), line: *line };
            self.warn(Some(&at), format!("{key} stands again on line {counts}, which counts"));
        }
        for line in &read.not_latin {
            let at = Origin::Line { file: name.clone(), line: *line };
            let what =
                "is read as UTF-8; Jigasi reads Latin-1, so that these letters were others there";
            self.warn(Some(&at), what);
        }
        Some(read)
    }

    /// Passwords that everybody on the machine may read.
    fn readable_by_all(&mut self, path: &Path, read: &Properties) {
        use std::os::unix::fs::PermissionsExt;
        let secret = |key: &str| key.ends_with(".PASSWORD") || key.ends_with(".acc.PASS");
        let holds = read.entries.iter().any(|it| secret(&it.key) && !it.value.is_empty());
        let mode = std::fs::metadata(path).map(|it| it.permissions().mode()).unwrap_or(0);
        if holds && mode & 0o004 != 0 {
            let what = format!(
                "holds passwords (base64 hides nothing) and everybody on this machine may read it; \
                 `chmod o-r {}`, and change the passwords if others log in here",
                path.display()
            );
            self.warn(None, what);
        }
    }

    /// The package's shell file. What the properties say counts more.
    fn shell(&mut self, path: &Path) {
        let name = short_name(path);
        let size = std::fs::metadata(path).map(|it| it.len());
        if size.is_ok_and(|size| size > VARIABLES_MAX) {
            self.faults.push((None, format!("{} is too long", path.display())));
            return;
        }
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                let what = format!("{} cannot be read: {error}", path.display());
                self.faults.push((None, what));
                return;
            }
        };
        for variable in debian::read(&text) {
            let origin = Origin::Line { file: name.clone(), line: variable.line };
            self.debian.push((variable.name.clone(), origin.clone()));
            let pairs: Vec<(&str, &str)> = match variable.name.as_str() {
                "JIGASI_OPTS" => debian::options(&variable.value).collect(),
                "JAVA_SYS_PROPS" => debian::properties(&variable.value).collect(),
                "JIGASI_SIPUSER" | "JIGASI_SIPPWD" | "JIGASI_HOSTNAME" => {
                    vec![(variable.name.as_str(), variable.value.as_str())]
                }
                _ => Vec::new(),
            };
            for (key, value) in pairs {
                if self.keys.get(key).is_none() {
                    self.keys.put(key, value, origin.clone());
                }
            }
        }
    }

    /// What the package's installation fills in, where it has not: `<<DOMAIN_BASE>>` and the like.
    fn fill(&mut self) {
        let known = |name: &str| self.keys.get(name).map(|entry| entry.value.clone());
        let user = known("JIGASI_SIPUSER");
        let server = user.as_ref().and_then(|user| user.split('@').nth(1).map(str::to_owned));
        let names = [
            ("<<JIGASI_SIPUSER>>", user),
            ("<<JIGASI_SIPPWD>>", known("JIGASI_SIPPWD")),
            ("<<JIGASI_SIPSERVER>>", server),
            ("<<DOMAIN_BASE>>", known("JIGASI_HOSTNAME")),
        ];
        let mut open: Vec<(Origin, String)> = Vec::new();
        let all: Vec<_> = self.keys.all().cloned().collect();
        for mut entry in all {
            if !entry.value.contains("<<") {
                continue;
            }
            for (name, value) in &names {
                if let Some(value) = value {
                    entry.value = entry.value.replace(name, value);
                }
            }
            let left = entry.value.split_once("<<").and_then(|(_, rest)| rest.split_once(">>"));
            if let Some((name, _)) = left {
                open.push((entry.origin.clone(), format!("<<{name}>>")));
            }
            self.keys.put(&entry.key, &entry.value, entry.origin);
        }
        let mut said: Vec<String> = Vec::new();
        for (origin, name) in &open {
            let count = open.iter().filter(|(_, other)| other == name).count();
            if !said.contains(name) {
                let what = format!(
                    "still holds {name} ({count} lines), which the package fills in when it is set up; write the value \
                     there, or run `dpkg-reconfigure jigasi`"
                );
                self.faults.push((Some(origin.clone()), what));
                said.push(name.clone());
            }
        }
    }
}

/// The name of a file without its folder.
pub(super) fn short_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| path.display().to_string())
}

/// Lines that a site of Docker adds: `custom-sip-communicator.properties` in the folder of its configuration.
pub fn custom_file(environment: &Environment, of_process: bool) -> Option<PathBuf> {
    let folder = match of_process {
        true => PathBuf::from("/config"),
        false => PathBuf::from(environment.get("CONFIG")?).join("jigasi"),
    };
    Some(folder.join("custom-sip-communicator.properties")).filter(|file| file.is_file())
}
