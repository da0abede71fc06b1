use policy::{CLASSES_FILE, PolicySet, starter};

use super::*;
use crate::commands::class_table::ClassTable;

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn pins(server: &str, tools: &[&str]) -> Pins {
    let tool = |name: &&str| ToolPin {
        uri: format!("{server}#{name}"),
        classes: Vec::new(),
        definition: digest('a'),
    };
    Pins {
        uri: server.to_owned(),
        facts: vec![("command", digest('c')), ("package", digest('d'))],
        tools: tools.iter().map(tool).collect(),
    }
}

#[test]
fn pins_go_into_the_rows_of_the_starter_policy_and_it_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    for file in starter::files() {
        std::fs::write(dir.path().join(&file.path), &file.text).unwrap();
    }
    let path = dir.path().join(CLASSES_FILE);
    let head = std::fs::read_to_string(&path).unwrap();
    let rows = starter::rows_for("mcp-server-memory", "mem")
        .or_else(|| starter::rows_for("@modelcontextprotocol/server-memory", "mem"))
        .unwrap();
    std::fs::write(&path, format!("{head}\n{rows}")).unwrap();
    let table = ClassTable::read(dir.path()).unwrap();
    let known = [pins("stdio:mem", &["read_graph", "delete_entities", "brand_new"])];
    let put = put(&table.text, &known).unwrap();
    assert_eq!((put.changed, put.added, put.unclassified), (2, 2, 1), "{}", put.text);
    table.check(&put.text).unwrap();
    table.replace(&put.text).unwrap();
    let set = PolicySet::load(dir.path()).unwrap();
    let class = set.classify("stdio:mem#delete_entities", Some(&digest('a')));
    assert_eq!((class.classified, class.classes), (true, vec!["write".to_owned(), "destructive".to_owned()]));
    assert!(!set.classify("stdio:mem#delete_entities", Some(&digest('b'))).classified);
    // the same again changes nothing, and the file named itself is the same table
    let again = ClassTable::read(&path).unwrap();
    assert_eq!(super::put(&again.text, &known).unwrap().text, again.text);
    // a row that stands twice is what a table cannot have
    assert!(again.check(&format!("{}{rows}", again.text)).unwrap_err().to_string().contains("two rows"));
    assert!(super::put("[[tool]\n", &known).unwrap_err().to_string().contains("line 1"));
}

#[test]
fn everything_that_is_not_a_pin_stays_as_it_is() {
    let text = "# mine\r\n[[tool]]\r\n  uri = 'stdio:a#x' # why\r\n  classes = [\"read\",\r\n    \"untrusted\"] # so\r\n\
        # end\r\n[[tool]]\nclasses=[\"write\"]\nuri=\"stdio:a#y\"\ndefinition = \"sha256:old\" # old\npinned = false\n\
        [[tool]]\nuri = \"stdio:a#*\"\nclasses = [\"read\"]\n\
        [[server]]\nuri = \"stdio:a\"\npackage = \"sha256:old\"";
    let put = put(text, &[pins("stdio:a", &["x", "y", "z"])]).unwrap();
    let a = digest('a');
    let expected = text
        .replace(
            "\"untrusted\"] # so\r\n",
            &format!("\"untrusted\"] # so\r\n  definition = \"{a}\"\r\n  pinned = true\r\n"),
        )
        .replacen("\"sha256:old\" # old", &format!("\"{a}\" # old"), 1)
        .replace("package = \"sha256:old\"", &format!("package = \"{}\"\n", digest('d')));
    let below = format!(
        "\n[[tool]]\nuri = \"stdio:a#z\"\nclasses = [\"read\"]\ndefinition = \"{a}\"\npinned = true\n"
    );
    assert_eq!(put.text, format!("{expected}{below}"));
    assert_eq!((put.changed, put.added, put.unclassified), (3, 1, 0));
}

#[test]
fn rows_within_braces_are_edited_there() {
    let text = "tool = [{uri = \"stdio:a#x\", classes = [\"read\"]}]\n";
    let mut known = pins("stdio:a", &["x"]);
    known.facts.clear();
    let put = put(text, &[known]).unwrap();
    let expected = format!("classes = [\"read\"], definition = \"{}\", pinned = true}}]\n", digest('a'));
    assert!(put.text.ends_with(&expected), "{}", put.text);
    toml::from_str::<toml::Table>(&put.text).unwrap();
}
