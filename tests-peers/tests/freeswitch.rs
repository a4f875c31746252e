//! The XML for FreeSWITCH, of which Debian has no package and no call was made through one: parsed by
//! Python's expat and held to what is documented: the tree of the registry, of the dialplan, of a
//! gateway and of the curl binding.

use std::process::Command;

use gateway_tests_peers::require::repository;

/// Elements, whom they may stand in, and their attributes; `!` marks those that must be there. Written down from FreeSWITCH's
/// documentation and sample configuration, for it publishes no schema.
const JUDGE: &str = r#"
import re, sys
import xml.etree.ElementTree as tree
RULES = {
    'include': ({None}, set()),
    'document': ({None}, {'!type'}),
    'section': ({'document'}, {'!name', 'description'}),
    'context': ({'section'}, {'!name'}),
    'extension': ({'include', 'context'}, {'name', 'continue'}),
    'condition': ({'extension'}, {'field', 'expression', 'break', 'regex', 'require-nested'}),
    'action': ({'condition'}, {'!application', 'data', 'inline'}),
    'anti-action': ({'condition'}, {'!application', 'data', 'inline'}),
    'gateway': ({'include'}, {'!name'}),
    'configuration': ({None}, {'!name', 'description'}),
    'bindings': ({'configuration'}, set()),
    'binding': ({'bindings'}, {'name'}),
    'param': ({'gateway', 'binding'}, {'!name', '!value', 'bindings'}),
}
PARAMS = {
    'gateway': {'proxy', 'register', 'caller-id-in-from', 'ping', 'dtmf-type'},
    'binding': {'gateway-url', 'method', 'timeout'},
}
APPLICATIONS = {'set', 'bridge', 'answer', 'playback', 'hangup', 'play_and_get_digits', 'curl', 'transfer'}
def judge(node, parent):
    parents, attributes = RULES[node.tag]
    assert parent in parents, (node.tag, parent)
    known = {name.lstrip('!') for name in attributes}
    needed = {name[1:] for name in attributes if name.startswith('!')}
    assert set(node.attrib) <= known and needed <= set(node.attrib), (node.tag, node.attrib)
    if node.tag == 'condition':
        assert ('field' in node.attrib) == ('expression' in node.attrib), node.attrib
        groups = re.compile(node.get('expression', '')).groups
        for action in node:
            used = [int(number) for number in re.findall(r'\$(\d)', action.get('data', ''))]
            assert max(used, default=0) <= groups, (action.attrib, groups)
    if node.tag.endswith('action'):
        assert node.get('application') in APPLICATIONS, node.attrib
    if node.tag == 'param':
        assert node.get('name') in PARAMS[parent], node.attrib
    return 1 + sum(judge(child, node.tag) for child in node)
for file in sys.argv[1:]:
    root = tree.parse(file).getroot()
    print(file.rsplit('/', 1)[1], judge(root, None))
"#;
const FILES: [&str; 5] = [
    "gateway.xml",
    "dialplan.xml",
    "dialplan_ticket.xml",
    "xml_curl.conf.xml",
    "xml_curl-answer.xml",
];

#[test]
fn the_files_for_freeswitch_say_what_is_documented() {
    let folder = repository().join("dialplans/freeswitch");
    let judged = |files: &[std::path::PathBuf]| {
        let done = Command::new("python3").arg("-c").arg(JUDGE).args(files).output();
        let done = done.expect("python3 runs");
        let said = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        (done.status.success(), said.concat())
    };
    let ours: Vec<_> = FILES.iter().map(|name| folder.join(name)).collect();
    let (is_good, said) = judged(&ours);
    assert!(is_good && said.lines().count() == FILES.len(), "{said}");
    let there = std::fs::read_dir(&folder).expect("shipped").count();
    assert_eq!(there, FILES.len(), "each file is judged");

    // The judge says no where it should.
    let text = std::fs::read_to_string(&ours[1]).expect("shipped");
    let wrong = std::env::temp_dir().join(format!("weebee-freeswitch-{}.xml", std::process::id()));
    for (from, to) in
        [("<action ", "<aktion "), ("$1", "$2"), ("application=", "app="), ("/>", ">")]
    {
        std::fs::write(&wrong, text.replacen(from, to, 1)).expect("written");
        let (is_good, said) = judged(std::slice::from_ref(&wrong));
        assert!(!is_good, "{from} -> {to}: {said}");
    }
    std::fs::remove_file(wrong).expect("removed");
}
