//! Steps that are done once for each of several names.

use super::model::{Item, Runbook, Step};
use super::parameters::Parameters;
use super::template;
use crate::error::{Code, Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The runbook with a step of its own for each name of every `for_each`: `STEP:NAME`.
///
/// The parameters of a run never change, so neither do these steps.
///
/// # Errors
/// `template_failed`; `usage` where a `for_each` is no list of names.
pub(super) fn unrolled(runbook: &Runbook, parameters: &Parameters) -> Result<Runbook> {
    let names = json!({ "params": parameters.names() });
    let unroll = |steps: &[Step]| {
        let made = steps.iter().map(|step| each(step, &names)).collect::<Result<Vec<_>>>();
        made.map(|made| made.into_iter().flatten().collect())
    };
    let (steps, rescue) = (unroll(&runbook.steps)?, unroll(&runbook.rescue)?);
    let repeated = runbook.all_steps().filter(|step| step.for_each.is_some());
    let repeated = repeated.map(|step| step.id.clone()).collect();
    Ok(Runbook { steps, rescue, repeated, ..runbook.clone() })
}

fn each(step: &Step, names: &Value) -> Result<Vec<Step>> {
    let Some(text) = &step.for_each else { return Ok(vec![step.clone()]) };
    let list = template::render(text, names)?;
    let items = list.as_array().and_then(|items| items.iter().map(Value::as_str).collect());
    let items: Vec<&str> = items.ok_or_else(|| {
        Error::new(Code::Usage, "repeat step", &step.id)
            .cause(format!("`{text}` is no list of names"))
    })?;
    let mut ids = BTreeSet::new();
    Ok(items.into_iter().map(|name| one(step, name, &mut ids)).collect())
}

fn one(step: &Step, name: &str, ids: &mut BTreeSet<String>) -> Step {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let plain: String = name.chars().map(plain).collect();
    let mut id = format!("{}:{plain}", step.id);
    while !ids.insert(id.clone()) {
        id.push('_');
    }
    let item = Some(Item { of: step.id.clone(), name: name.to_owned() });
    let title = step.title.as_ref().map(|title| format!("{title}: {name}"));
    Step { id, title, item, for_each: None, ..step.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::document::{parse, read};
    use super::*;

    #[test]
    fn a_step_is_made_for_each_name_and_none_for_none() {
        let text = "name: a\ntitle: A\nsteps:\n- {id: x, title: T, action: wait, for_each: '{{ params.l }}'}\n- {id: z, action: wait}\n";
        let runbook: Runbook = read(&parse(text).unwrap()).unwrap();
        let made = |list: Value| {
            let values = [("l".to_owned(), list)].into();
            unrolled(&runbook, &Parameters { values, ..Parameters::default() })
        };
        let steps = made(json!(["a.b", "a/b", "c"])).unwrap().steps;
        let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["x:a_b", "x:a_b_", "x:c", "z"]);
        assert_eq!(steps[1].item, Some(Item { of: "x".into(), name: "a/b".into() }));
        assert_eq!(steps[2].title.as_deref(), Some("T: c"));
        assert_eq!(made(json!([])).unwrap().steps.len(), 1);
        assert_eq!(made(json!("a")).unwrap_err().code(), Code::Usage);
    }
}
