//! Recipes that are not YAML or not recipes, and recipes of an absurd size.

use crate::{
    bystander::{Bystander, Sent},
    support::document,
};
use reqwest::{Method, StatusCode};
use std::time::{Duration, Instant};

fn with_recipe(recipe: &str) -> String {
    let document = document(1).replace("contextualize ()", "contextualize ( system node configure broken )");
    format!("{document}\nconfigure broken (\n@begin\n{recipe}\n@end\n)\n")
}

/// A recipe, and where it is wrong.
const NOT_YAML: &[(&str, &[&str])] = &[
    ("- tasks:\n  - name: [1, 2\n    debug: x", &["line 4 column 10"]),
    ("- tasks:\n\t- debug:", &["line 3", "column 1"]),
    ("- tasks: *nowhere", &["undefined alias", "line 2"]),
    (
        "- tasks:\n  - copy:\n      content: {{ IM_NODE_HOSTNAME }}",
        &["line 4 column 17", "must stand in quotes: \"{{ ... }}\""],
    ),
    ("- vars:\n    day: 2024-02-30", &["date or time", "line 3 column 10"]),
    ("- vars:\n    <<: [a]", &["after <<", "line 3 column 9"]),
    ("- &a {}\n- &a {}", &["anchor", "line 3 column 3"]),
    ("- vars: !here x", &["tag", "line 2 column 9"]),
    ("- a: 'never closed", &["line"]),
    ("---\n- a: 1\n---\n- b: 1", &["single document", "line 4"]),
    ("- !<%C3> a", &[]),
];

#[tokio::test]
async fn what_is_not_yaml_is_refused_at_creation_addition_and_reconfiguration() {
    let bystander = Bystander::start().await;
    let (path, reconfigure) = (bystander.path.clone(), format!("{}/reconfigure", bystander.path));
    for (recipe, words) in NOT_YAML {
        let text = with_recipe(recipe);
        let line = text.lines().position(|line| line.starts_with("configure broken")).unwrap() + 1;
        let mut words = words.to_vec();
        let line = format!("Line {line}: Invalid YAML code");
        words.push(&line);
        bystander.refuses(Sent::create(text.as_str()), 400, &words).await;
        bystander.refuses(Sent::document(Method::POST, &path, text.as_str()), 400, &words).await;
        words.pop();
        words.push("Error parsing YAML: ");
        bystander.refuses(Sent::document(Method::PUT, &reconfigure, text), 400, &words).await;
    }
    bystander.still_works().await;
}

/// What names no version of Ansible is refused when it arrives; the answer says which ones there are.
#[tokio::test]
async fn versions_of_ansible_that_are_none_are_refused() {
    let bystander = Bystander::start().await;
    let (path, reconfigure) = (bystander.path.clone(), format!("{}/reconfigure", bystander.path));
    for (version, words) in
        [("'foo'", "option ansible_version = \"foo\""), ("'99'", "\"99\""), ("9", "ansible_version without quotes")]
    {
        let option = format!("contextualize ( option ansible_version = {version} )");
        let text = document(1).replace("contextualize ()", &option);
        let words = [words, "names no version of Ansible that is known", "2.11 to 2.20"];
        bystander.refuses(Sent::create(text.as_str()), 400, &words).await;
        bystander.refuses(Sent::document(Method::POST, &path, text.as_str()), 400, &words).await;
        bystander.refuses(Sent::document(Method::PUT, &reconfigure, text), 400, &words).await;
    }
    bystander.still_works().await;
}

/// A recipe may have a mebibyte: such a one is stored, shown and deleted while others are served. A larger one is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_recipe_of_a_megabyte_holds_nothing_up() {
    let bystander = Bystander::start().await;
    let server = &bystander.server;
    let play = "- tasks:\n  - debug: msg='0123456789012345678901234567890123456789'\n";
    let recipe = |size: usize| play.repeat(size / play.len());
    let words = ["Line ", "The recipe of the configure 'broken' has more than 1048576 bytes"];
    bystander.refuses(Sent::create(with_recipe(&recipe(10_000_000))), 400, &words).await;
    let recipe = recipe(1_000_000);
    let create = bystander.send(Sent::create(with_recipe(&recipe)));
    let others = async {
        loop {
            let started = Instant::now();
            assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
            assert!(started.elapsed() < Duration::from_secs(2), "others wait for {:?}", started.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let created = tokio::select! { created = create => created, () = others => unreachable!() };
    assert_eq!(created.status, StatusCode::OK, "{}", created.text);
    let path = format!("/infrastructures/{}", created.text.rsplit('/').next().unwrap());
    server.wait_for(&path, "configured").await;
    let shown = server.get(&format!("{path}/radl")).await;
    assert!(shown.text.contains(&recipe));
    assert_eq!(bystander.send(Sent::document(Method::DELETE, &path, "")).await.status, StatusCode::OK);
    bystander.is_untouched().await;
    bystander.still_works().await;
}
