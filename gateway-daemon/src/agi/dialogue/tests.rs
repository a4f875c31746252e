//! Conversations as transcripts, byte for byte: `>` what we send, `<` what Asterisk says, `=` what we find.
//!
//! The lines of Asterisk are those of its `res/res_agi.c`, as the real ones said them in `tests-peers/tests/agi.rs`.

use super::*;

fn rules() -> Rules {
    Rules {
        words: Words {
            ask: "conf-getpin".to_owned(),
            wrong: "conf-invalidpin".to_owned(),
            goodbye: "vm-goodbye".to_owned(),
            unavailable: "all-circuits-busy-now".to_owned(),
        },
        tries: 3,
        digits: 9,
        patience_ms: 10_000,
    }
}

fn greeting(script: &str, argument: Option<&str>) -> Greeting {
    let mut greeter = super::super::wire::Greeter::default();
    let mut lines = vec![format!("agi_network_script: {script}")];
    lines.extend(argument.map(|argument| format!("agi_arg_1: {argument}")));
    for line in lines {
        assert_eq!(greeter.line(&line), Ok(None));
    }
    greeter.line("").expect("good").expect("ended")
}

fn judged(word: &str) -> Judged {
    match word {
        "no" => Judged::Refused,
        "away" => Judged::Unavailable,
        ticket => Judged::Ticket(Pii::new(ticket.to_owned())),
    }
}

/// Plays a transcript to its end; `ends` is how it must.
fn plays(mut dialogue: Dialogue, transcript: &str, ends: Ending) {
    let mut turn = Some(dialogue.begin());
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (sign, text) = line.split_at(1);
        let text = text.strip_prefix(' ').unwrap_or(text);
        match (sign, turn.take()) {
            (">", Some(Turn::Say(command))) => assert_eq!(command, text, "{transcript}"),
            ("=", Some(Turn::Judge(digits))) => {
                let (typed, verdict) = text.split_once(' ').expect("digits and a verdict");
                assert_eq!(digits.reveal(), typed, "{transcript}");
                turn = Some(dialogue.judged(judged(verdict)));
            }
            ("<", None) => turn = dialogue.heard(Line::read(text)),
            (_, turn) => panic!("{line:?} meets {turn:?} in {transcript}"),
        }
    }
    assert_eq!(turn, Some(Turn::Done(ends)), "{transcript}");
}

/// What every conversation begins with.
const PREPARED: &str = r#"
    > ANSWER
    < 200 result=0
    > SET VARIABLE WB_RESULT "FAILED"
    < 200 result=1
    > SET VARIABLE WB_REASON "agi_failed"
    < 200 result=1
    > SET VARIABLE __WB_TICKET ""
    < 200 result=1
"#;

fn asking(script: &str, transcript: &str, ends: Ending) {
    let dialogue = Dialogue::asking(rules(), &greeting(script, None));
    plays(dialogue, &format!("{PREPARED}{transcript}"), ends);
}

#[test]
fn a_right_pin_brings_a_ticket() {
    let transcript = r#"
        > GET DATA "conf-getpin" 10000 9
        < 200 result=918273645
        > WAIT FOR DIGIT 1500
        < 200 result=35
        = 918273645 tikkit
        > SET VARIABLE __WB_TICKET "tikkit"
        < 200 result=1
        > SET VARIABLE WB_REASON ""
        < 200 result=1
        > SET VARIABLE WB_RESULT "OK"
        < 200 result=1
    "#;
    asking("pin", transcript, Ending::Ok);
}

#[test]
fn three_wrong_pins_are_goodbye_and_the_dialplan_may_want_fewer() {
    let transcript = r#"
        > GET DATA "conf-getpin" 10000 9
        < 200 result=12345 (timeout)
        = 12345 no
        > STREAM FILE "conf-invalidpin" "0123456789*#"
        < 200 result=0 endpos=21000
        > GET DATA "conf-getpin" 10000 9
        < 200 result=111111111
        > WAIT FOR DIGIT 1500
        < 200 result=0
        = 111111111 no
        > STREAM FILE "conf-invalidpin" "0123456789*#"
        < 200 result=55 endpos=800
        > WAIT FOR DIGIT 10000
        < 200 result=56
        > WAIT FOR DIGIT 10000
        < 200 result=35
        = 78 no
        > STREAM FILE "vm-goodbye" ""
        < 200 result=0 endpos=8000
        > SET VARIABLE WB_REASON "pin_refused"
        < 200 result=1
        > SET VARIABLE WB_RESULT "REFUSED"
        < 200 result=1
    "#;
    asking("pin?tries=9", transcript, Ending::Refused);
    let once = r#"
        > GET DATA "custom/ask" 10000 9
        < 200 result=777
        = 777 no
        > STREAM FILE "vm-goodbye" ""
        < 200 result=0 endpos=8000
        > SET VARIABLE WB_REASON "pin_refused"
        < 200 result=1
        > SET VARIABLE WB_RESULT "REFUSED"
        < 200 result=1
    "#;
    asking("pin?tries=1&ask=custom/ask", once, Ending::Refused);
}

#[test]
fn longer_pins_a_star_and_silence_are_understood() {
    let transcript = r#"
        > GET DATA "conf-getpin" 10000 9
        < 200 result= (timeout)
        > GET DATA "conf-getpin" 10000 9
        < 200 result=
        > GET DATA "conf-getpin" 10000 9
        < 200 result=12*345678
        > WAIT FOR DIGIT 10000
        < 200 result=42
        > WAIT FOR DIGIT 10000
        < 200 result=55
        > WAIT FOR DIGIT 10000
        < 200 result=35
        = 7 away
        > STREAM FILE "all-circuits-busy-now" ""
        < 200 result=0 endpos=8000
        > SET VARIABLE WB_REASON "service_unavailable"
        < 200 result=1
        > SET VARIABLE WB_RESULT "UNAVAILABLE"
        < 200 result=1
    "#;
    asking("pin", transcript, Ending::Unavailable);
    let silent = r#"
        > GET DATA "conf-getpin" 10000 9
        < 200 result= (timeout)
        > GET DATA "conf-getpin" 10000 9
        < 200 result= (timeout)
        > GET DATA "conf-getpin" 10000 9
        < 200 result= (timeout)
        > STREAM FILE "vm-goodbye" ""
        < 200 result=0 endpos=8000
        > SET VARIABLE WB_REASON "pin_not_given"
        < 200 result=1
        > SET VARIABLE WB_RESULT "SILENT"
        < 200 result=1
    "#;
    asking("pin", silent, Ending::Silent);
}

#[test]
fn a_pin_longer_than_usual_is_taken_whole_and_hash_alone_asks_again() {
    let transcript = r#"
        > GET DATA "conf-getpin" 10000 9
        < 200 result=918273645
        > WAIT FOR DIGIT 1500
        < 200 result=49
        > WAIT FOR DIGIT 1500
        < 200 result=50
        > WAIT FOR DIGIT 1500
        < 200 result=0
        = 91827364512 no
        > STREAM FILE "conf-invalidpin" "0123456789*#"
        < 200 result=35 endpos=800
        > GET DATA "conf-getpin" 10000 9
        < HANGUP
    "#;
    asking("pin", transcript, Ending::HungUp);
}

#[test]
fn a_caller_who_hangs_up_is_let_go_in_each_state() {
    let asked = "> GET DATA \"conf-getpin\" 10000 9\n";
    let full = "< 200 result=918273645\n> WAIT FOR DIGIT 1500\n";
    let good = "< 200 result=0\n= 918273645 tikkit\n> SET VARIABLE __WB_TICKET \"tikkit\"\n";
    for end in ["< HANGUP", "< 511 Command Not Permitted on a dead channel or intercept routine"] {
        asking("pin", &format!("{asked}{end}"), Ending::HungUp);
        asking("pin", &format!("{asked}{full}{end}"), Ending::HungUp);
        asking("pin", &format!("{asked}{full}{good}{end}"), Ending::HungUp);
    }
    let failed = "< 200 result=-1\n> CHANNEL STATUS\n";
    asking("pin", &format!("{asked}{failed}< HANGUP"), Ending::HungUp);
    asking("pin", &format!("{asked}{failed}< 200 result=0"), Ending::HungUp);
    asking("pin", &format!("{asked}{full}< 200 result=-1"), Ending::HungUp);
    let wrong = "< 200 result=1\n= 1 no\n> STREAM FILE \"conf-invalidpin\" \"0123456789*#\"\n";
    asking("pin", &format!("{asked}{wrong}{failed}< HANGUP"), Ending::HungUp);
    let dialogue = Dialogue::asking(rules(), &greeting("pin", None));
    plays(dialogue, "> ANSWER\n< 200 result=-1", Ending::HungUp);
}

#[test]
fn a_sound_that_is_not_there_is_said_to_be_our_fault() {
    let transcript = r#"
        > GET DATA "conf-getpin" 10000 9
        < 200 result=-1
        > CHANNEL STATUS
        < 200 result=6
        > SET VARIABLE WB_REASON "agi_failed"
        < 200 result=1
        > SET VARIABLE WB_RESULT "FAILED"
        < 200 result=1
    "#;
    asking("pin", transcript, Ending::Failed);
}

#[test]
fn a_peer_that_does_not_understand_or_is_out_of_step_is_left() {
    let asked = "> GET DATA \"conf-getpin\" 10000 9\n";
    asking("pin", &format!("{asked}< 510 Invalid or unknown command"), Ending::Failed);
    asking("pin", &format!("{asked}< 404 what"), Ending::Failed);
    let usage = "< 520-Invalid command syntax.  Proper usage follows:\n< Usage: GET DATA\n< 520 End of proper usage.";
    asking("pin", &format!("{asked}{usage}"), Ending::Failed);
}

#[test]
fn digits_that_the_pbx_collected_are_judged_without_a_word() {
    let prepared = PREPARED.replace("> ANSWER\n    < 200 result=0\n", "");
    for (argument, judged, ends, variables) in [
        ("918-273-645#", "= 918273645 tikkit", Ending::Ok, ["", "OK"]),
        ("12345", "= 12345 no", Ending::Refused, ["pin_refused", "REFUSED"]),
        ("12345", "= 12345 away", Ending::Unavailable, ["service_unavailable", "UNAVAILABLE"]),
        ("", "", Ending::Silent, ["pin_not_given", "SILENT"]),
    ] {
        let ticket = match ends {
            Ending::Ok => "> SET VARIABLE __WB_TICKET \"tikkit\"\n< 200 result=1\n",
            _ => "",
        };
        let [reason, result] = variables;
        let transcript = format!(
            "{prepared}{judged}\n{ticket}> SET VARIABLE WB_REASON \"{reason}\"\n< 200 result=1\n\
             > SET VARIABLE WB_RESULT \"{result}\"\n< 200 result=1"
        );
        plays(Dialogue::checking(rules(), &greeting("check", Some(argument))), &transcript, ends);
    }
    let nothing = Dialogue::checking(rules(), &greeting("check", None));
    let transcript = format!(
        "{prepared}> SET VARIABLE WB_REASON \"pin_not_given\"\n< 200 result=1\n\
         > SET VARIABLE WB_RESULT \"SILENT\"\n< 200 result=1"
    );
    plays(nothing, &transcript, Ending::Silent);
}

#[test]
fn names_of_sounds_carry_no_commands() {
    for good in ["conf-getpin", "custom/weebee-pin", "/var/sounds/a.b"] {
        assert!(is_file(good), "{good}");
    }
    for bad in ["", "a b", "a\nHANGUP", "\"", "../../etc/passwd", "a|b", "a&b", "${X}"] {
        assert!(!is_file(bad), "{bad}");
    }
}
