//! What we write into the chat, in the workspace's language. Markdown of Rocket.Chat; the link dials number and PIN.

use std::fmt::Write;

use gateway_core::media::clip::Language;

/// What a reply is made from.
#[derive(Clone, Debug)]
pub struct Invitation<'a> {
    /// Telephone numbers as people write them, the usual one first.
    pub numbers: &'a [String],
    /// Digits of the PIN.
    pub pin: &'a str,
    /// In the workspace's language.
    pub language: Language,
}

/// Sentences of one language.
struct Sentences {
    title: &'static str,
    number: &'static str,
    pin: &'static str,
    tap: &'static str,
    closed: &'static str,
    none: &'static str,
    foreign: &'static str,
    failed: &'static str,
    busy: &'static str,
    no_call_me: &'static str,
    may_not: &'static str,
    bad_number: &'static str,
    calling: &'static str,
}

/// Something to tell one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// No meeting goes on where he asked.
    NoMeeting,
    /// The meeting is not one that phones can join.
    Foreign,
    /// It did not work; try again.
    Failed,
    /// Too many questions.
    Busy,
    /// This gateway calls nobody.
    NoCallMe,
    /// He may not let it call.
    MayNot,
    /// That number is not one it may call.
    BadNumber,
    /// The phone will ring.
    Calling,
}

/// The reply while the meeting goes on.
pub fn open(invitation: &Invitation<'_>) -> String {
    let words = sentences(invitation.language);
    let pin = grouped(invitation.pin);
    let mut text = format!(":telephone_receiver: *{}*\n", words.title);
    for (at, number) in invitation.numbers.iter().enumerate() {
        let link = format!("tel:{},{}%23", dialled(number), invitation.pin);
        let number = plain(number);
        let _ = match at {
            0 => writeln!(text, "{}: *{number}*  [{}]({link})", words.number, words.tap),
            _ => writeln!(text, "{}: {number}  [{}]({link})", words.number, words.tap),
        };
    }
    let _ = write!(text, "{}: *{pin} #*", words.pin);
    text
}

/// The reply when the meeting is over.
pub fn closed(language: Language) -> String {
    format!(":telephone_receiver: _{}_", sentences(language).closed)
}

/// Something to tell one user.
pub fn told(word: Word, language: Language) -> &'static str {
    let words = sentences(language);
    match word {
        Word::NoMeeting => words.none,
        Word::Foreign => words.foreign,
        Word::Failed => words.failed,
        Word::Busy => words.busy,
        Word::NoCallMe => words.no_call_me,
        Word::MayNot => words.may_not,
        Word::BadNumber => words.bad_number,
        Word::Calling => words.calling,
    }
}

/// Three groups, as Jitsi Meet shows them: `482 913 075`.
pub fn grouped(pin: &str) -> String {
    let size = pin.len().div_ceil(3).max(1);
    let digits: Vec<char> = pin.chars().collect();
    digits.chunks(size).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// What a telephone dials: `+` and digits.
pub fn dialled(number: &str) -> String {
    let plus = number.trim_start().starts_with('+').then_some('+');
    plus.into_iter().chain(number.chars().filter(char::is_ascii_digit)).collect()
}

/// Without what Rocket.Chat would take for markup.
fn plain(number: &str) -> String {
    number.chars().filter(|sign| !matches!(sign, '*' | '_' | '`' | '[' | ']' | '~')).collect()
}

fn sentences(language: Language) -> &'static Sentences {
    match language {
        Language::En => &ENGLISH,
        Language::Id => &INDONESIAN,
        Language::PtBr => &PORTUGUESE,
        Language::Ru => &RUSSIAN,
    }
}

const ENGLISH: Sentences = Sentences {
    title: "Join by phone",
    number: "Number",
    pin: "PIN",
    tap: "tap to call",
    closed: "The meeting is over, and its PIN ends with it.",
    none: "No meeting is going on there. Start one with the call button, then ask again.",
    foreign: "Phones cannot join that meeting.",
    failed: "That did not work just now. Please try again in a minute.",
    busy: "That is a lot of questions. Please wait a minute.",
    no_call_me: "This gateway cannot call you. Write !dialin for number and PIN.",
    may_not: "You may not have it call a phone. Write !dialin for number and PIN.",
    bad_number: "It may not call that number. Write it with the country code: !callme +62 21 5550100",
    calling: "Your phone will ring in a moment.",
};

const INDONESIAN: Sentences = Sentences {
    title: "Ikut lewat telepon",
    number: "Nomor",
    pin: "PIN",
    tap: "ketuk untuk menelepon",
    closed: "Rapat sudah selesai, dan PIN-nya ikut berakhir.",
    none: "Tidak ada rapat yang berlangsung di sana. Mulai dengan tombol panggilan, lalu tanya lagi.",
    foreign: "Rapat itu tidak dapat diikuti lewat telepon.",
    failed: "Saat ini belum berhasil. Silakan coba lagi sebentar lagi.",
    busy: "Terlalu banyak pertanyaan. Silakan tunggu sebentar.",
    no_call_me: "Gateway ini tidak dapat menelepon Anda. Tulis !dialin untuk nomor dan PIN.",
    may_not: "Anda tidak berhak meminta panggilan. Tulis !dialin untuk nomor dan PIN.",
    bad_number: "Nomor itu tidak boleh dihubungi. Tulis dengan kode negara: !callme +62 21 5550100",
    calling: "Telepon Anda akan segera berdering.",
};

const PORTUGUESE: Sentences = Sentences {
    title: "Entrar por telefone",
    number: "Número",
    pin: "PIN",
    tap: "toque para ligar",
    closed: "A reunião terminou, e o PIN com ela.",
    none: "Não há reunião em andamento ali. Inicie uma com o botão de chamada e pergunte de novo.",
    foreign: "Não é possível entrar nessa reunião por telefone.",
    failed: "Não funcionou agora. Tente de novo em um minuto.",
    busy: "São muitas perguntas. Espere um minuto, por favor.",
    no_call_me: "Este gateway não pode ligar para você. Escreva !dialin para ver o número e o PIN.",
    may_not: "Você não pode pedir uma ligação. Escreva !dialin para ver o número e o PIN.",
    bad_number: "Não é permitido ligar para esse número. Escreva com o código do país: !callme +62 21 5550100",
    calling: "Seu telefone vai tocar em instantes.",
};

const RUSSIAN: Sentences = Sentences {
    title: "Войти по телефону",
    number: "Номер",
    pin: "ПИН-код",
    tap: "позвонить",
    closed: "Встреча окончена, и её ПИН-код тоже.",
    none: "Там сейчас нет встречи. Начните её кнопкой звонка и спросите снова.",
    foreign: "В эту встречу нельзя войти по телефону.",
    failed: "Сейчас не получилось. Попробуйте через минуту.",
    busy: "Слишком много вопросов. Подождите минуту.",
    no_call_me: "Этот шлюз не может вам позвонить. Напишите !dialin, чтобы узнать номер и ПИН-код.",
    may_not: "Вам нельзя заказывать звонок. Напишите !dialin, чтобы узнать номер и ПИН-код.",
    bad_number: "На этот номер звонить нельзя. Напишите его с кодом страны: !callme +62 21 5550100",
    calling: "Ваш телефон сейчас зазвонит.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_number_pin_and_a_link_that_dials_both() {
        let numbers = ["+62 (21) 1234-5678".to_owned(), "0800 555".to_owned()];
        for language in Language::ALL {
            let text = open(&Invitation { numbers: &numbers, pin: "482913075", language });
            assert!(text.contains("](tel:+622112345678,482913075%23)"), "{text}");
            assert!(text.contains("](tel:0800555,482913075%23)"), "{text}");
            assert!(text.contains("482 913 075 #"), "{text}");
            assert!(!closed(language).contains("482"));
        }
    }

    #[test]
    fn pins_are_shown_as_jitsi_shows_them() {
        assert_eq!(grouped("123456789"), "123 456 789");
        assert_eq!(grouped("1234567890"), "1234 5678 90");
        assert_eq!(grouped("12345678"), "123 456 78");
        assert_eq!(grouped(""), "");
    }
}
