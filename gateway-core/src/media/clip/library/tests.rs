//! What a caller would hear is judged here: every clip of every language, and an operator's directory in all states.

use super::*;
use crate::media::clip::loudness::active_level_dbov;
use crate::media::clip::wav::write_wav;
use crate::media::dtmf::inband::InbandDetector;

/// All prompts of all languages with their places.
fn every_prompt() -> impl Iterator<Item = (Language, PromptId)> {
    Language::ALL.into_iter().flat_map(|language| PromptId::all().map(move |id| (language, id)))
}

/// Loudest sample.
fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}

/// A directory that is gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weebee-clips-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    fn with(self, file: &str, content: &[u8]) -> Self {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().expect("is inside the directory")).expect("writable");
        std::fs::write(path, content).expect("writable");
        self
    }

    fn load(&self) -> (ClipLibrary, Vec<String>) {
        let (library, problems) = ClipLibrary::default().with_overrides(&self.0);
        let prefix = format!("{}/", self.0.display());
        (library, problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tone(rate_hz: u32, ms: u32) -> Vec<i16> {
    let step = 2.0 * std::f64::consts::PI * 600.0 / f64::from(rate_hz);
    (0..rate_hz / 1_000 * ms).map(|n| ((f64::from(n) * step).sin() * 9_000.0) as i16).collect()
}

#[test]
fn every_prompt_is_spoken_in_every_language_at_one_level() {
    let library = ClipLibrary::embedded().unwrap();
    for (language, id) in every_prompt() {
        let clip = library.prompt(id, language);
        for rate in SampleRate::ALL {
            let samples = &*clip.samples(rate);
            let at = format!("{} at {} Hz", clip.name, rate.hz());
            let ms = samples.len() / rate.samples(1);
            assert!((200..=17_000).contains(&ms), "{at}: {ms} ms");
            assert!(id == PromptId::Help || ms <= 12_000, "{at}: {ms} ms");
            let level = active_level_dbov(samples, rate.hz()).unwrap_or(-100.0);
            // At 8 kHz the hisses are gone, which are the quieter half of some words.
            let tolerance = if rate == SampleRate::Hz8000 { 1.8 } else { 1.5 };
            assert!((level + 20.0).abs() <= tolerance, "{at}: {level:.1} dBov");
            let peak = peak(samples);
            assert!(peak < 32_000, "{at}: peak {peak}");
            // 46 dB below the peak: a hissing consonant, cut by the band of G.711, is still speech.
            let lead = samples.iter().position(|s| s.unsigned_abs() > peak / 200).unwrap();
            assert!(lead < rate.samples(60), "{at}: {lead} samples of silence at the start");
            let trail = samples.iter().rev().position(|s| s.unsigned_abs() > peak / 200).unwrap();
            assert!(trail < rate.samples(200), "{at}: {trail} samples of silence at the end");
        }
    }
}

#[test]
fn no_two_prompts_of_a_language_sound_or_read_the_same() {
    let library = ClipLibrary::embedded().unwrap();
    for language in Language::ALL {
        let mut words: Vec<_> =
            PromptId::all().map(|id| library.words(id, language).unwrap()).collect();
        assert!(words.iter().all(|words| !words.is_empty()));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), PromptId::all().count(), "{language}");
    }
    let clip = |id| library.prompt(id, Language::En);
    let rate = SampleRate::Hz8000;
    assert_ne!(clip(PromptId::Muted).samples(rate), clip(PromptId::Unmuted).samples(rate));
}

#[test]
fn the_sounds_stay_below_speech_and_the_music_lasts() {
    let library = ClipLibrary::embedded().unwrap();
    for (id, dbov, ms) in [
        (SoundId::Entry, -24.0, 200..=800),
        (SoundId::Exit, -24.0, 200..=800),
        (SoundId::Beep, -24.0, 100..=400),
        (SoundId::MusicOnHold, -30.0, 20_000..=30_000),
    ] {
        for rate in SampleRate::ALL {
            let clip = library.sound(id);
            let samples = clip.samples(rate);
            let level = active_level_dbov(&samples, rate.hz()).unwrap();
            assert!((level - dbov).abs() <= 1.5, "{id} at {} Hz: {level:.1} dBov", rate.hz());
            let got = samples.len() / rate.samples(1);
            assert!(ms.contains(&got), "{id}: {got} ms");
        }
    }
    let rate = SampleRate::Hz8000;
    assert_ne!(
        library.sound(SoundId::Entry).samples(rate),
        library.sound(SoundId::Exit).samples(rate)
    );
}

/// As loud 5 ms after it starts again as 5 ms before it ends, and no jump between: a listener cannot find the seam.
#[test]
fn the_music_comes_round_without_a_click() {
    let library = ClipLibrary::embedded().unwrap();
    let clip = library.sound(SoundId::MusicOnHold);
    for rate in SampleRate::ALL {
        let samples = clip.samples(rate);
        let step = |a: i16, b: i16| i32::from(a).abs_diff(i32::from(b));
        let usual = samples.windows(2).map(|pair| step(pair[0], pair[1])).max().unwrap();
        let seam = step(samples[samples.len() - 1], samples[0]);
        assert!(seam <= usual, "{} Hz: {seam} at the seam, at most {usual} elsewhere", rate.hz());
    }
}

#[test]
fn a_clip_is_decoded_once_and_then_shared() {
    let library = ClipLibrary::embedded().unwrap();
    let first = library.prompt(PromptId::Greeting, Language::Ru);
    assert!(Arc::ptr_eq(&first, &library.prompt(PromptId::Greeting, Language::Ru)));
    assert!(!Arc::ptr_eq(&first, &library.prompt(PromptId::Greeting, Language::Id)));
    assert_eq!(first.name, "ru/greeting");
    assert_eq!(
        format!("{library:?}"),
        format!("ClipLibrary(2 of {} decoded)", library.entries.len())
    );
    let many = library.prompt(PromptId::Count(21), Language::En);
    assert!(Arc::ptr_eq(&many, &library.prompt(PromptId::Count(200), Language::En)));
}

#[test]
fn a_recording_replaces_the_built_in_clip_at_every_rate() {
    for rate_hz in [8_000, 16_000, 44_100, 48_000] {
        let wav = write_wav(rate_hz, &tone(rate_hz, 500));
        let scratch = Scratch::new(&format!("replace-{rate_hz}")).with("pt-BR/greeting.wav", &wav);
        let (library, problems) = scratch.load();
        assert!(problems.is_empty(), "{problems:?}");
        let clip = library.prompt(PromptId::Greeting, Language::PtBr);
        for rate in SampleRate::ALL {
            let want = tone(rate.hz(), 500);
            let got = clip.samples(rate);
            // 44,100 is not a whole number of samples per millisecond: one more may come out.
            assert!(
                got.len().abs_diff(want.len()) <= rate.samples(2),
                "{rate_hz}: {} {}",
                got.len(),
                want.len()
            );
            let middle = rate.samples(100)..rate.samples(400);
            let error = got[middle.clone()]
                .iter()
                .zip(&want[middle])
                .map(|(a, b)| i32::from(*a).abs_diff(i32::from(*b)));
            // The player's conversion lies half a sample of the higher rate off: 0.5 of this slope.
            let slope = 600.0 * std::f64::consts::TAU * 9_000.0;
            let bound = 200 + (slope * 0.55 / f64::from(rate_hz.max(rate.hz()))) as u32;
            assert!(error.max().unwrap() < bound, "{rate_hz} to {}", rate.hz());
        }
        assert_eq!(library.words(PromptId::Greeting, Language::PtBr), None);
        assert!(library.words(PromptId::Greeting, Language::En).is_some());
    }
}

#[test]
fn sounds_and_music_can_be_replaced_and_music_may_be_long() {
    let music = write_wav(8_000, &vec![100; 8_000 * 90]);
    let scratch = Scratch::new("sounds")
        .with("sounds/music-on-hold.wav", &music)
        .with("sounds/entry.wav", &music)
        .with("sounds/notes.txt", b"not for us");
    let (library, problems) = scratch.load();
    assert_eq!(
        problems,
        [
            "sounds/entry.wav: 90 s are too long, at most 60 s are used; the built-in clip is used. Shorten it"
        ]
    );
    assert_eq!(library.sound(SoundId::MusicOnHold).samples(SampleRate::Hz8000).len(), 720_000);
    let built_in = ClipLibrary::default().sound(SoundId::Entry);
    assert_eq!(
        library.sound(SoundId::Entry).samples(SampleRate::Hz8000),
        built_in.samples(SampleRate::Hz8000)
    );
}

#[test]
fn each_unusable_file_is_named_with_its_remedy_and_the_built_in_clip_plays() {
    let good = write_wav(8_000, &tone(8_000, 300));
    let mut wide = good.clone();
    wide[34] = 24;
    let scratch = Scratch::new("unusable")
        .with("de/greeting.wav", &good)
        .with("en/enter_pin.wav", &good)
        .with("en/welcome.wav", &good)
        .with("en/goodbye.wav", &wide)
        .with("en/muted.wav", b"")
        .with("ru/muted.WAV", &good);
    std::fs::create_dir(scratch.0.join("en/unmuted.wav")).unwrap();
    let (library, problems) = scratch.load();
    let starts = [
        "de: no such language; folders are named en, id, pt-BR, ru or sounds",
        "en/enter_pin.wav: no clip has this name, perhaps \"enter-pin\" is meant; the names are listed in docs/media.md",
        "en/goodbye.wav: format 1 with 24 bits is not read, only 16-bit PCM is; the built-in clip is used. To convert: sox",
        "en/muted.wav: not a WAV file; the built-in clip is used. To convert: sox",
        "en/unmuted.wav: cannot be read (",
        "en/welcome.wav: no clip has this name; the names are listed in docs/media.md",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
    let built_in = ClipLibrary::default();
    for id in [PromptId::Goodbye, PromptId::Muted, PromptId::Unmuted, PromptId::EnterPin] {
        assert_eq!(library.words(id, Language::En), built_in.words(id, Language::En));
    }
    assert_eq!(
        library.words(PromptId::Muted, Language::Ru),
        None,
        "an upper case ending is a recording too"
    );
}

#[test]
fn a_missing_directory_is_one_problem_and_no_loss() {
    let missing = std::env::temp_dir().join("weebee-clips-there-is-no-such-directory");
    let (library, problems) = ClipLibrary::default().with_overrides(&missing);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().contains("cannot be read"), "{}", problems[0]);
    assert!(library.words(PromptId::Greeting, Language::En).is_some());
}

/// An exchange that listens for tones in the sound, ours included, must hear none in what we play.
#[test]
fn nothing_we_play_sounds_like_a_key() {
    let library = ClipLibrary::embedded().unwrap();
    let words = every_prompt().map(|(language, id)| library.prompt(id, language));
    let sounds = SoundId::all().map(|id| library.sound(id));
    for clip in words.chain(sounds) {
        for rate in SampleRate::ALL {
            let mut detector = InbandDetector::new(rate);
            for part in clip.samples(rate).chunks(rate.frame_samples()) {
                assert_eq!(detector.feed(part).pressed, None, "{} at {} Hz", clip.name, rate.hz());
            }
        }
    }
}

#[test]
fn every_clip_stands_in_the_list_for_operators() {
    let page = include_str!("../../../../../docs/media.md");
    let counted = |id: &PromptId| matches!(id, PromptId::Count(1..20));
    let prompts = PromptId::all().filter(|id| !counted(id)).map(PromptId::name);
    for name in prompts.chain(SoundId::all().map(SoundId::name)) {
        assert!(page.contains(&format!("`{name}`")), "docs/media.md does not list {name}");
    }
}

#[test]
fn warming_decodes_a_language_and_the_sounds_and_nothing_else() {
    let library = ClipLibrary::embedded().unwrap();
    library.warm(&[Language::En]);
    let decoded = PromptId::all().count() + SoundId::all().count();
    assert_eq!(
        format!("{library:?}"),
        format!("ClipLibrary({decoded} of {} decoded)", library.entries.len())
    );
}

/// CPU time of this thread, so that a busy machine does not count.
#[cfg(target_os = "linux")]
fn cpu_time() -> std::time::Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let nanos = text.split(' ').next().and_then(|field| field.parse().ok());
    std::time::Duration::from_nanos(nanos.expect("its first field is nanoseconds on the CPU"))
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "a measurement for docs/decisions/003-clips-as-pcm.md, not a verdict"]
fn clip_costs() {
    let mut before = cpu_time();
    let mut report = |what: &str| {
        println!("{what}: {:?} of CPU", cpu_time() - before);
        before = cpu_time();
    };
    let library = ClipLibrary::embedded().unwrap();
    report("open");
    let clip = library.prompt(PromptId::EnterPin, Language::En);
    report(&format!("phrase of {} ms", clip.samples(SampleRate::Hz8000).len() / 8));
    library.sound(SoundId::MusicOnHold);
    report("music");
    library.warm(&[Language::En]);
    report("the rest of English");
    library.warm(&Language::ALL);
    report("all other languages");
    let total: usize =
        every_prompt().map(|(language, id)| library.prompt(id, language).bytes()).sum();
    let sounds: usize = SoundId::all().map(|id| library.sound(id).bytes()).sum();
    println!("every prompt: {} kB, sounds {} kB", total / 1_000, sounds / 1_000);
}
