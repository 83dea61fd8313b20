//! A validator of JSON Schema: the part of it that the schema of `--events` uses. A keyword that it
//! does not know is refused.

use serde_json::{Map, Value, json};

/// Does the value fit? `root` is where references lead.
pub fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(rules) = schema else { panic!("a schema is an object: {schema}") };
    rules.iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "$defs" | "title" | "description" | "prefixItems" => true,
        "$ref" => {
            let pointer = rule.as_str().unwrap().trim_start_matches('#');
            fits(root, root.pointer(pointer).expect(pointer), value)
        }
        "oneOf" => list(rule).iter().filter(|one| fits(root, one, value)).count() == 1,
        "const" => rule == value,
        "enum" => list(rule).contains(value),
        "type" => match rule {
            Value::String(name) => is(name, value),
            names => list(names).iter().any(|name| is(name.as_str().unwrap(), value)),
        },
        "minimum" => value.as_i64().is_none_or(|n| n >= rule.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|n| n <= rule.as_i64().unwrap()),
        "minItems" => value.as_array().is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|a| a.len() as u64 <= rule.as_u64().unwrap()),
        "pattern" => {
            assert_eq!(rule, "^0[0-7]*$", "the one pattern that this validator knows");
            value.as_str().is_none_or(|text| {
                text.strip_prefix('0').is_some_and(|t| t.bytes().all(|b| b"01234567".contains(&b)))
            })
        }
        "items" => value.as_array().is_none_or(|all| all.iter().all(|v| fits(root, rule, v))),
        "required" => value.as_object().is_none_or(|object| {
            list(rule).iter().all(|name| object.contains_key(name.as_str().unwrap()))
        }),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, v)| rule.get(name).is_none_or(|rule| fits(root, rule, v)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = rules.get("properties").and_then(Value::as_object);
            let more =
                object.iter().filter(|(name, _)| known.is_none_or(|k| !k.contains_key(*name)));
            more.into_iter().all(|(_, v)| rule != &json!(false) && fits(root, rule, v))
        }),
        other => panic!("the schema says {other:?}, which this validator does not know"),
    }) && tuple(root, rules, value)
}

fn tuple(root: &Value, rules: &Map<String, Value>, value: &Value) -> bool {
    let (Some(rule), Some(items)) = (rules.get("prefixItems"), value.as_array()) else {
        return true;
    };
    list(rule).iter().zip(items).all(|(rule, item)| fits(root, rule, item))
}

pub fn list(rule: &Value) -> &Vec<Value> {
    rule.as_array().expect("a list")
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other:?}"),
    }
}
