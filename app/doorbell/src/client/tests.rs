use super::*;
use std::io::Read;
use std::os::unix::net::UnixListener;

fn given(words: &[&str]) -> Result<Value, String> {
    let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    params(&words).map(|p| p.map_or(Value::Null, Value::Object)).map_err(|e| e.to_string())
}

#[test]
fn words_become_parameters() {
    assert_eq!(given(&[]), Ok(Value::Null));
    let words =
        ["name=Malloc0", "num_blocks=64", "ro=true", "serial=00012", "id=\"7\"", "a.b.c=1", "a.d=x=y", "list=[1,2]", "{\"z\": null}"];
    let expected = json!({"name": "Malloc0", "num_blocks": 64, "ro": true, "serial": "00012", "id": "7",
        "a": {"b": {"c": 1}, "d": "x=y"}, "list": [1, 2], "z": null});
    assert_eq!(given(&words), Ok(expected));
}

#[test]
fn words_that_are_no_parameters_are_refused() {
    assert!(given(&["name"]).unwrap_err().contains("neither"));
    assert!(given(&["a=1", "a=2"]).unwrap_err().contains("twice"));
    assert!(given(&["a=1", "a.b=2"]).unwrap_err().contains("no object"));
    assert!(given(&["{oops"]).unwrap_err().contains("no JSON object"));
}

/// Answers each request with the next of these texts; an empty one closes.
fn server(answers: &'static [&'static str]) -> (PathBuf, std::thread::JoinHandle<Vec<String>>) {
    let name = format!("doorbell-client-{}-{:?}.sock", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        answers
            .iter()
            .map(|answer| {
                let mut bytes = vec![0; 4096];
                let n = stream.read(&mut bytes).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(bytes[..n].to_vec()).unwrap()
            })
            .collect()
    });
    (path, thread)
}

#[test]
fn calls_are_answered_one_after_the_other() {
    let (path, thread) = server(&[
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1]}\n",
        "{\"id\":2,\"error\":{\"code\":-17,\"message\":\"File exists\",\"data\":\"choose another\"}}\n",
    ]);
    let mut client = Client::connect(&Server { socket: Some(path.clone()), timeout: 10.0 }).unwrap();
    assert_eq!(client.call("one", None).unwrap(), json!([1]));
    let mut map = Map::new();
    map.insert("a".to_owned(), json!(1));
    assert_eq!(client.call("two", Some(map)).unwrap_err().to_string(), "File exists (-17): choose another");
    assert!(client.call("three", None).unwrap_err().to_string().contains("no answer"));
    let seen = thread.join().unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(!seen[0].contains("params") && seen[1].contains("\"params\":{\"a\":1}"));
}

#[test]
fn a_missing_server_is_explained() {
    let server = Server { socket: Some("/nonexistent/x.sock".into()), timeout: 1.0 };
    let said = Client::connect(&server).err().unwrap().to_string();
    assert!(said.contains("/nonexistent/x.sock") && said.contains("doorbell serve"), "{said}");
}
